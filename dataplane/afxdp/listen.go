package afxdp

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/header"
)

// listen asks the NIC to let packets to multicast addresses in (packet(7), PACKET_ADD_MEMBERSHIP). The kernel takes that back when the returned
// socket, which receives nothing, is closed or its process dies. It is -1 where there is nothing to ask for.
func listen(n *nic, addresses []net.HardwareAddr) (fd int, wrong *Error) {
	if len(addresses) == 0 {
		return -1, nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fault(ErrNoPrivilege, fmt.Errorf("packet socket: %w", err), "multicast needs CAP_NET_RAW")
	}
	for _, a := range addresses {
		mac, err := header.ParseMAC(a)
		if err == nil && !mac.IsGroup() {
			err = fmt.Errorf("%v is no multicast address", mac)
		}
		if err == nil {
			m := unix.PacketMreq{Ifindex: int32(n.index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(mac))}
			copy(m.Address[:], mac[:])
			err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m)
		}
		if err != nil {
			_ = unix.Close(fd)
			return -1, fault(ErrConfig, fmt.Errorf("listen to %v: %w", a, err), "give multicast addresses, and a NIC that takes them")
		}
	}
	return fd, nil
}
