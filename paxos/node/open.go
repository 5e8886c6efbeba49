package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/mem"
	"wirepaxos/dataplane/udp"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// wiring are the ports of a process and the way to each endpoint.
type wiring struct {
	ports []dataplane.Port
	ways  map[string]Way         // by Endpoint.Key
	many  map[int]dataplane.Peer // as Config.Many
	mtu   int
}

// wire opens what the local endpoint needs to reach all the others. On an error nothing is left open.
func wire(s *Spec, local cluster.Endpoint) (w *wiring, err error) {
	opening := &wiring{ways: map[string]Way{}, many: map[int]dataplane.Peer{}, mtu: MTU(s.File)}
	w = opening
	defer func() {
		if err != nil {
			opening.close() // w is nil by now: a return with an error has set it
		}
	}()
	var far, near []cluster.Endpoint
	for _, e := range s.File.Endpoints() {
		switch {
		case e.Key == local.Key:
		case s.Links[e.Key] != nil, s.File.Transport != cluster.TransportUDP && cluster.SameHost(local, e):
			near = append(near, e)
		default:
			far = append(far, e)
		}
	}
	if err := w.openNIC(s, local, far); err != nil {
		return nil, err
	}
	for _, e := range near {
		port := s.Links[e.Key]
		if port == nil {
			if port, err = openRing(s, local, e, w.mtu); err != nil {
				return nil, err
			}
		}
		w.mtu = min(w.mtu, port.MTU())
		w.ways[e.Key] = Way{Port: len(w.ports), Pass: behindOne(local, e)}
		w.ports = append(w.ports, port)
	}
	return w, checkMTU(s.File, w.mtu)
}

// behindOne tells whether frames for one of two endpoints of a host may come in at the other: behind one MAC the NIC chooses the queue. With a NIC of its own an
// endpoint gets its own, and what it got from the group's address too, so nothing is passed on to it.
func behindOne(a, b cluster.Endpoint) bool {
	return a.MAC == b.MAC || a.MAC.IsZero() || b.MAC.IsZero()
}

// checkMTU refuses what the protocol cannot run on.
func checkMTU(f *cluster.File, mtu int) error {
	if mtu < paxos.MinMTU {
		return fmt.Errorf("%s: frames of %d bytes are too small: the protocol needs %d, raise mtu or the interface's", f.Name, mtu, paxos.MinMTU)
	}
	if least := int64(4 * mtu); f.ValueBytes < least {
		return fmt.Errorf("%s: value_bytes is %d, which is too little for frames of %d bytes: want at least %d", f.Name, f.ValueBytes, mtu, least)
	}
	// A leader sends all fragments of a value to all acceptors and learners in one step.
	all := len(f.Acceptors()) + len(f.Learners())
	if n := paxos.AcceptFrames(mtu, int(f.MaxValue)); n*all > paxos.OutboxSize/2 {
		return fmt.Errorf("%s: a value of max_value %d is %d frames of %d bytes, to each of %d acceptors and learners: more than the %d that a step may "+
			"send, lower max_value or raise mtu", f.Name, f.MaxValue, n, mtu, all, paxos.OutboxSize/2)
	}
	return nil
}

func (w *wiring) close() {
	for _, p := range w.ports {
		p.Close()
	}
}

// openNIC opens the port to endpoints of other hosts. Over AF_XDP it is opened also when there are none: then frames of strangers are seen.
func (w *wiring) openNIC(s *Spec, local cluster.Endpoint, far []cluster.Endpoint) error {
	var port dataplane.Port
	var err error
	switch s.File.Transport {
	case cluster.TransportMem:
		if len(far) > 0 {
			return fmt.Errorf("%s: there is no path from %s to %s: transport \"mem\" joins nodes of one host only", s.File.Name, local.Key, far[0].Key)
		}
		return nil
	case cluster.TransportUDP:
		port, err = w.openUDP(s, local, far)
	default:
		port, err = w.openAFXDP(s, local, far)
	}
	if err != nil {
		return err
	}
	if s.File.MTU > port.MTU() {
		port.Close()
		return fmt.Errorf("%s: mtu is %d, but %s takes frames of at most %d bytes: lower it, or raise the interface's", s.File.Name, s.File.MTU,
			local.Key, port.MTU())
	}
	if s.File.MTU == 0 {
		w.mtu = min(port.MTU(), paxos.MaxMTU)
	}
	w.ports = append(w.ports, port)
	return nil
}

func (w *wiring) openUDP(s *Spec, local cluster.Endpoint, far []cluster.Endpoint) (dataplane.Port, error) {
	c := udp.Config{Listen: netip.AddrPortFrom(local.IP, local.Port), MTU: s.File.MTU, Frames: 4096}
	for _, e := range far {
		w.ways[e.Key] = Way{Peer: dataplane.Peer(len(c.Peers))}
		c.Peers = append(c.Peers, netip.AddrPortFrom(e.IP, e.Port))
	}
	return udp.Open(c)
}

// openAFXDP opens the local queue. Endpoints behind one MAC and one IP are one peer: which of their queues a frame comes in on is up to
// the NIC, and the process there passes on what is not its own.
func (w *wiring) openAFXDP(s *Spec, local cluster.Endpoint, far []cluster.Endpoint) (dataplane.Port, error) {
	f := s.File
	if local.Interface == "" {
		return nil, fmt.Errorf("%s: node %d has no interface: give it one (interface = \"eth1\", or --interface)", f.Name, local.Nodes[0].ID)
	}
	c := afxdp.Config{
		Interface: local.Interface, Queue: local.Queue, Mode: string(f.Mode), Link: string(f.LinkLayer()), EtherType: f.EtherType, VLAN: f.VLAN,
		UDPPort: local.Port, LocalIP: local.IP, Cores: coresOf(s, local),
		CellSize: f.Chunk, Hugepages: string(f.Hugepages), BusyPoll: afxdp.BusyPoll{Prefer: f.BusyPoll == cluster.BusyPollPrefer},
		Tell: func(line string) { s.warn("%s", line) },
	}
	if room := afxdp.Room(f.Chunk); f.MTU > room {
		return nil, fmt.Errorf("%s: mtu is %d, but a chunk of %d bytes has room for %d: lower it, or take the larger chunk (chunk = %d, --chunk %d)", f.Name,
			f.MTU, f.Chunk, room, cluster.LargeChunk, cluster.LargeChunk)
	}
	if !local.MAC.IsZero() {
		c.LocalMAC = slices.Clone(local.MAC[:])
	}
	for _, e := range far {
		p := afxdp.PeerAddr{}
		if !e.MAC.IsZero() {
			p.MAC = slices.Clone(e.MAC[:])
		}
		if f.LinkLayer() == cluster.LinkUDP4 {
			p.IP, p.UDPPort = e.IP, e.Port
		}
		w.ways[e.Key] = Way{Peer: addPeer(&c.Peers, p), Many: listens(f, e)}
	}
	if f.LinkLayer() == cluster.LinkEthernet {
		mac := groupMAC(f)
		if listens(f, local) { // also without multicast: others may have it
			c.Listen = []net.HardwareAddr{mac}
		}
		if f.Multicast {
			w.many[len(w.ports)] = addPeer(&c.Peers, afxdp.PeerAddr{MAC: mac})
		}
	}
	return afxdp.Open(c)
}

// coresOf are the cores that the loop will be pinned to.
func coresOf(s *Spec, local cluster.Endpoint) []int {
	core := s.Core
	if core == CoreOfFile {
		core = local.Core
	}
	if core == cluster.NoCore {
		return nil
	}
	return []int{core}
}

// listens tells whether an endpoint takes frames to the group's multicast address: those to whom much is said at once do, if they have their NIC to
// themselves. Of processes that share one, whoever has the queue that such a frame comes in on would hold its life in its hands for the others.
func listens(f *cluster.File, e cluster.Endpoint) bool {
	return slices.ContainsFunc(e.Nodes, func(n cluster.Node) bool { return n.Roles&(cluster.Acceptor|cluster.Learner) != 0 }) &&
		!slices.ContainsFunc(f.Endpoints(), func(o cluster.Endpoint) bool { return o.Key != e.Key && o.MAC == e.MAC })
}

// groupMAC is the multicast address of a group: a locally administered one, like enough to no other group's that NICs of others need not look at its frames.
func groupMAC(f *cluster.File) net.HardwareAddr {
	x := (f.Cluster ^ uint64(f.Group)<<48) * 0x9E3779B97F4A7C15 // whose upper bits depend on all of both
	return net.HardwareAddr{0x03, 'W', 'P', byte(x >> 56), byte(x >> 48), byte(x >> 40)}
}

func addPeer(peers *[]afxdp.PeerAddr, p afxdp.PeerAddr) dataplane.Peer {
	for i, q := range *peers {
		if net.HardwareAddr(q.MAC).String() == p.MAC.String() && q.IP == p.IP && q.UDPPort == p.UDPPort {
			return dataplane.Peer(i)
		}
	}
	*peers = append(*peers, p)
	return dataplane.Peer(len(*peers) - 1)
}

// ringPrefix is how the names of a cluster's rings begin.
func ringPrefix(cluster uint64) string { return fmt.Sprintf("wirepaxos-%016x-", cluster) }

// RemoveRings removes the rings of a cluster of which no process runs any more: those whose two sides were both killed stay otherwise.
func RemoveRings(cluster uint64) error {
	paths, err := filepath.Glob(filepath.Join(mem.DefaultDir, ringPrefix(cluster)+"*"))
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// openRing opens our side of the ring to another process of this host.
func openRing(s *Spec, local, other cluster.Endpoint, mtu int) (dataplane.Port, error) {
	low, high, side := local.Nodes[0].ID, other.Nodes[0].ID, mem.A
	if low > high {
		low, high, side = high, low, mem.B
	}
	return mem.OpenShared(mem.Config{
		Name: ringPrefix(s.File.Cluster) + fmt.Sprintf("%d-%d-%d", s.File.Group, low, high), Side: side, MTU: mtu, Frames: 2048,
	})
}
