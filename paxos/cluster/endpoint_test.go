package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// shape writes endpoints as "key: ids @host", in order.
func shape(ends []Endpoint) string {
	var b strings.Builder
	for _, e := range ends {
		fmt.Fprintf(&b, "%s: %s @%s; ", e.Key, ids(e.Nodes), e.Host)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// members makes a valid cluster of those nodes: all are replicas.
func members(transport Transport, link Link, nodes ...Node) *File {
	f := New()
	f.Transport, f.Link = transport, link
	for i, n := range nodes {
		n.ID, n.Roles = uint16(i+1), Replica
		f.Nodes = append([]Node{n}, f.Nodes...) // in the file, the highest id first
	}
	return f
}

func TestEndpoints(t *testing.T) {
	ip := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, last}) }
	for name, c := range map[string]struct {
		f    *File
		want string
	}{
		"ethernet: mac and queue": {
			members(TransportAFXDP, LinkEthernet, Node{MAC: mac(1)}, Node{MAC: mac(2)}, Node{MAC: mac(1)}, Node{MAC: mac(1), Queue: 1}),
			"02:00:00:00:00:01/0: 1 3 @02:00:00:00:00:01; 02:00:00:00:00:02/0: 2 @02:00:00:00:00:02; 02:00:00:00:00:01/1: 4 @02:00:00:00:00:01",
		},
		"udp4 over AF_XDP: ip and queue": {
			members(TransportAFXDP, LinkUDP4, Node{IP: ip(1)}, Node{IP: ip(2)}, Node{IP: ip(1), Port: 7471}, Node{IP: ip(1), Queue: 1}),
			"10.0.0.1/0: 1 3 @10.0.0.1; 10.0.0.2/0: 2 @10.0.0.2; 10.0.0.1/1: 4 @10.0.0.1",
		},
		"udp: ip and port": {
			members(TransportUDP, LinkEthernet, Node{IP: ip(1)}, Node{IP: ip(2)}, Node{IP: ip(1), Port: 7471}, Node{IP: ip(1), Port: 8}),
			"10.0.0.1:7471: 1 3 @10.0.0.1; 10.0.0.2:7471: 2 @10.0.0.2; 10.0.0.1:8: 4 @10.0.0.1",
		},
		"mem: name": {
			members(TransportMem, LinkEthernet, Node{}, Node{Endpoint: "a"}, Node{Endpoint: "a"}, Node{Endpoint: "1"}),
			"1: 1 4 @local; a: 2 3 @local",
		},
		"host by name, by mac and by both": {
			members(TransportAFXDP, LinkEthernet, Node{MAC: mac(1), Host: "a"}, Node{MAC: mac(2), Host: "a"}, Node{MAC: mac(2), Queue: 1},
				Node{MAC: mac(3)}, Node{MAC: mac(1), Queue: 1}),
			"02:00:00:00:00:01/0: 1 @a; 02:00:00:00:00:02/0: 2 @a; 02:00:00:00:00:02/1: 3 @a; 02:00:00:00:00:03/0: 4 @02:00:00:00:00:03; " +
				"02:00:00:00:00:01/1: 5 @a",
		},
		"host by a chain of addresses": {
			members(TransportAFXDP, LinkEthernet, Node{MAC: mac(1)}, Node{MAC: mac(2)},
				Node{MAC: mac(1), Queue: 1, Host: "a"}, Node{MAC: mac(2), Queue: 1, Host: "a"}),
			"02:00:00:00:00:01/0: 1 @a; 02:00:00:00:00:02/0: 2 @a; 02:00:00:00:00:01/1: 3 @a; 02:00:00:00:00:02/1: 4 @a",
		},
		"mem with a host's name": {
			members(TransportMem, LinkEthernet, Node{}, Node{Host: "a"}), "1: 1 @a; 2: 2 @a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.f.Validate(); err != nil {
				t.Fatal(err)
			}
			ends := c.f.Endpoints()
			if got := shape(ends); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for _, e := range ends {
				for _, n := range e.Nodes {
					if of, err := c.f.EndpointOf(n.ID); err != nil || of.Key != e.Key || !of.Has(n.ID) {
						t.Errorf("EndpointOf(%d) = %s, %v", n.ID, of.Key, err)
					}
				}
				for _, other := range ends {
					if SameHost(e, other) != (e.Host == other.Host) {
						t.Errorf("SameHost(%s, %s)", e.Key, other.Key)
					}
				}
			}
			if _, err := c.f.EndpointOf(60); err == nil || !strings.Contains(err.Error(), "no node 60") {
				t.Errorf("EndpointOf(60): %v", err)
			}
		})
	}
}

// TestInherited: what one node of an endpoint leaves out, another one says.
func TestInherited(t *testing.T) {
	f := members(TransportAFXDP, LinkEthernet, Node{MAC: mac(1), Core: NoCore},
		Node{MAC: mac(1), Core: 1, Interface: "eth1", Host: "a", Idle: IdleSpin}, Node{MAC: mac(2), Core: NoCore})
	f.Idle, f.UDPPort = IdleBlock, 99
	ends := f.Endpoints()
	if e := ends[0]; e.Core != 1 || e.Interface != "eth1" || e.Host != "a" || e.Idle != IdleSpin || e.MAC != mac(1) {
		t.Errorf("%+v", e)
	}
	if e := ends[1]; e.Core != NoCore || e.Interface != "" || e.Host != mac(2).String() || e.Idle != IdleBlock {
		t.Errorf("%+v", e)
	}
	f = members(TransportUDP, LinkEthernet, Node{IP: netip.MustParseAddr("10.0.0.1")})
	f.UDPPort = 99
	if e := f.Endpoints()[0]; e.Port != 99 || f.LinkLayer() != LinkUDP4 {
		t.Errorf("%+v, link %s", e, f.LinkLayer())
	}
}

// TestHostNames: one machine under two names is refused, also by a chain; memory does not reach two machines.
func TestHostNames(t *testing.T) {
	for name, f := range map[string]*File{
		"by mac": members(TransportAFXDP, LinkEthernet, Node{MAC: mac(1), Host: "a"}, Node{MAC: mac(1), Queue: 1, Host: "b"}),
		"by ip": members(TransportUDP, LinkEthernet, Node{IP: netip.MustParseAddr("10.0.0.1"), Host: "a"},
			Node{IP: netip.MustParseAddr("10.0.0.1"), Port: 1, Host: "b"}),
		"in memory": members(TransportMem, LinkEthernet, Node{Host: "a"}, Node{Host: "b"}),
	} {
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), `node 2: host "b" is also called "a"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
