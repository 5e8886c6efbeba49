package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Endpoint is one link address and queue, opened by one process and driven by one loop. Nodes that share it run together there.
//
// Which nodes share one: over AF_XDP, those of one MAC (LinkEthernet) or IP (LinkUDP4) and one queue; over UDP, those of one IP and
// port; in memory, those of one endpoint name. What one of the nodes leaves out (interface, core, host, idle), it takes
// from the others; where they contradict each other, Validate refuses.
//
// Two endpoints of one host and one MAC cannot talk over the wire: a switch does not send a frame back out of the port that
// it came from. They talk through shared memory; SameHost tells.
type Endpoint struct {
	Key       string     // the same in every process of the cluster: "02:00:00:00:00:01/0", "10.0.0.1:7471", "a"
	Nodes     []Node     // by id
	Interface string     // "" where no node says it
	Queue     int        // AF_XDP
	MAC       MAC        // zero where no node says it
	IP        netip.Addr // invalid where no node says it
	Port      uint16     // the file's UDPPort where no node says it
	Core      int        // NoCore where no node says it
	Host      string     // never empty: the name given, or else the address that stands for the host
	Idle      Idle       // the file's where no node says it; never empty
}

// Has tells whether node id runs on the endpoint.
func (e *Endpoint) Has(id uint16) bool {
	return slices.ContainsFunc(e.Nodes, func(n Node) bool { return n.ID == id })
}

// SameHost tells whether two endpoints of one file are on one machine: by the name of the host, the same MAC, or the same IP, also
// by way of a third endpoint that shares a name with one and an address with the other. In memory, all are.
func SameHost(a, b Endpoint) bool { return a.Host == b.Host }

// Endpoints returns the endpoints of all nodes, in the order of their lowest node id, the same in every process.
func (f *File) Endpoints() []Endpoint {
	ends, _ := f.endpoints()
	return ends
}

// EndpointOf returns the endpoint that node id runs on.
func (f *File) EndpointOf(id uint16) (Endpoint, error) {
	for _, e := range f.Endpoints() {
		if e.Has(id) {
			return e, nil
		}
	}
	_, err := f.Node(id)
	return Endpoint{}, err
}

// endpoints is Endpoints, with the first contradiction found on the way.
func (f *File) endpoints() ([]Endpoint, error) {
	var ends []Endpoint
	var fault error
	for _, n := range f.having(0) {
		key := f.endpointKey(n)
		i := slices.IndexFunc(ends, func(e Endpoint) bool { return e.Key == key })
		if i < 0 {
			i = len(ends)
			ends = append(ends, Endpoint{Key: key, Queue: n.Queue, Core: NoCore})
		}
		if field := ends[i].join(f, n); field != "" && fault == nil {
			fault = f.NodeError(n, field, "%s is another than that of node %d, which shares its endpoint %s: "+
				"write the same, or give the node an endpoint of its own", field, ends[i].Nodes[0].ID, key)
		}
	}
	for i := range ends {
		if ends[i].Idle == "" {
			ends[i].Idle = f.Idle
		}
	}
	if err := f.nameHosts(ends); err != nil && fault == nil {
		fault = err
	}
	return ends, fault
}

// endpointKey names the endpoint of a node.
func (f *File) endpointKey(n Node) string {
	switch {
	case f.Transport == TransportMem:
		if n.Endpoint == "" {
			return strconv.Itoa(int(n.ID))
		}
		return n.Endpoint
	case f.Transport == TransportUDP:
		return netip.AddrPortFrom(n.IP, f.portOf(n)).String()
	case f.Link == LinkUDP4:
		return fmt.Sprintf("%s/%d", n.IP, n.Queue)
	}
	return fmt.Sprintf("%s/%d", n.MAC, n.Queue)
}

func (f *File) portOf(n Node) uint16 {
	if n.Port != 0 {
		return n.Port
	}
	return f.UDPPort
}

// join adds node n and returns the key that contradicts the nodes before it, or "". The first to say something is believed.
func (e *Endpoint) join(f *File, n Node) (contradicts string) {
	e.Nodes = append(e.Nodes, n)
	adopt(&e.Core, n.Core, NoCore, "core", &contradicts)
	adopt(&e.Idle, n.Idle, "", "idle", &contradicts)
	adopt(&e.Host, n.Host, "", "host", &contradicts)
	if f.Transport == TransportMem { // the addresses mean nothing there
		return contradicts
	}
	adopt(&e.Interface, n.Interface, "", "interface", &contradicts)
	adopt(&e.MAC, n.MAC, MAC{}, "mac", &contradicts)
	adopt(&e.IP, n.IP, netip.Addr{}, "ip", &contradicts)
	if f.LinkLayer() == LinkUDP4 {
		adopt(&e.Port, f.portOf(n), 0, "port", &contradicts)
	}
	return contradicts
}

// adopt sets what was not said yet and names the key where two nodes differ.
func adopt[T comparable](have *T, said, unsaid T, key string, contradicts *string) {
	switch {
	case said == unsaid || said == *have:
	case *have == unsaid:
		*have = said
	case *contradicts == "":
		*contradicts = key
	}
}

// nameHosts gives every endpoint the name of its machine.
func (f *File) nameHosts(ends []Endpoint) error {
	machine := make([]int, len(ends)) // endpoint -> lowest endpoint of the same machine
	for i := range ends {
		machine[i] = i
	}
	for i := range ends {
		for j := range ends[:i] {
			if f.touch(&ends[i], &ends[j]) {
				merge(machine, i, j)
			}
		}
	}
	names := make([]string, len(ends))
	for i, m := range machine {
		if said := ends[i].Host; said != "" && names[m] != "" && said != names[m] {
			return f.NodeError(ends[i].Nodes[0], "host", "host %q is also called %q, by the addresses: write one name", said, names[m])
		} else if said != "" {
			names[m] = said
		}
	}
	for i, m := range machine {
		if names[m] == "" {
			names[m] = f.unnamedHost(&ends[m])
		}
		ends[i].Host = names[m]
	}
	return nil
}

// touch tells whether two endpoints are of one machine without a third one's word.
func (f *File) touch(a, b *Endpoint) bool {
	return f.Transport == TransportMem || a.Host != "" && a.Host == b.Host ||
		!a.MAC.IsZero() && a.MAC == b.MAC || a.IP.IsValid() && a.IP == b.IP
}

// merge makes one machine of those of i and j.
func merge(machine []int, i, j int) {
	from, to := max(machine[i], machine[j]), min(machine[i], machine[j])
	for k := range machine {
		if machine[k] == from {
			machine[k] = to
		}
	}
}

// unnamedHost is the address that stands for a machine without a name.
func (f *File) unnamedHost(e *Endpoint) string {
	switch {
	case f.Transport == TransportMem:
		return "local"
	case !e.MAC.IsZero():
		return e.MAC.String()
	}
	return e.IP.String()
}
