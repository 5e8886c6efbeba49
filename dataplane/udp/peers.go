package udp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// peerTable knows the peers both ways: by number to send, by address to receive. It does not change after open.
type peerTable struct {
	names []unix.RawSockaddrInet4 // by Peer, as the kernel reads them
	slots []peerSlot              // open addressing, at most half full, so that a search ends
	shift int                     // 64 - log2(len(slots))
}

type peerSlot struct {
	key  uint64
	peer dataplane.Peer // NoPeer in an empty slot
}

func newPeerTable(peers []netip.AddrPort) (peerTable, error) {
	if len(peers) >= int(dataplane.NoPeer) {
		return peerTable{}, fmt.Errorf("udp: %d peers: a port has at most %d", len(peers), int(dataplane.NoPeer)-1)
	}
	log := bits.Len(uint(2*len(peers) + 1))
	t := peerTable{names: make([]unix.RawSockaddrInet4, len(peers)), slots: make([]peerSlot, 1<<log), shift: 64 - log}
	for i := range t.slots {
		t.slots[i].peer = dataplane.NoPeer
	}
	for i, at := range peers {
		addr := at.Addr().Unmap()
		if !addr.Is4() || addr.IsUnspecified() || at.Port() == 0 {
			return peerTable{}, fmt.Errorf("udp: peer %d is %v: give an IPv4 address and a port, as 10.0.0.2:7000", i, at)
		}
		name := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.As4()}
		name.Port = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, at.Port()))
		if other := t.find(&name); other != dataplane.NoPeer {
			return peerTable{}, fmt.Errorf("udp: peers %d and %d are both %v: give each peer an address or a port of its own", other, i, at)
		}
		t.names[i] = name
		slot := t.slot(keyOf(&name))
		*slot = peerSlot{key: keyOf(&name), peer: dataplane.Peer(i)}
	}
	return t, nil
}

// keyOf packs an address and a port, both in network order.
func keyOf(name *unix.RawSockaddrInet4) uint64 {
	return uint64(binary.BigEndian.Uint32(name.Addr[:]))<<16 | uint64(name.Port)
}

// slot is the one that holds key, or the empty one where it would go.
func (t *peerTable) slot(key uint64) *peerSlot {
	mask := uint64(len(t.slots) - 1)
	for i := key * 0x9E3779B97F4A7C15 >> t.shift; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.peer == dataplane.NoPeer || s.key == key {
			return s
		}
	}
}

// find answers NoPeer for a stranger.
func (t *peerTable) find(name *unix.RawSockaddrInet4) dataplane.Peer { return t.slot(keyOf(name)).peer }
