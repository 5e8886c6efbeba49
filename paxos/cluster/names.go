package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Roles is a set of roles.
type Roles uint8

// The roles. A replica is a node with three of them.
const (
	Acceptor Roles = 1 << iota
	Proposer
	Learner
	Client

	Replica = Acceptor | Proposer | Learner
)

// allRoles are the single roles, in the order in which they are written.
var allRoles = []struct {
	role Roles
	name string
}{{Acceptor, "acceptor"}, {Proposer, "proposer"}, {Learner, "learner"}, {Client, "client"}}

// Has tells whether all of want are in r.
func (r Roles) Has(want Roles) bool { return r&want == want }

// Names lists the roles, one word each, "replica" never among them.
func (r Roles) Names() []string {
	var names []string
	for _, known := range allRoles {
		if r.Has(known.role) {
			names = append(names, known.name)
		}
	}
	return names
}

// String is the names joined by "+", or "replica" for exactly its three.
func (r Roles) String() string {
	if r == Replica {
		return "replica"
	}
	return strings.Join(r.Names(), "+")
}

// ParseRole reads one role's name, "replica" among them.
func ParseRole(name string) (Roles, error) {
	if name == "replica" {
		return Replica, nil
	}
	for _, known := range allRoles {
		if known.name == name {
			return known.role, nil
		}
	}
	return 0, fmt.Errorf("role %q is unknown: write acceptor, proposer, learner, client or replica", name)
}

// MAC is an Ethernet address; all zero is none.
type MAC [6]byte

// String is the usual six pairs of lower-case hexadecimal digits.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// IsZero tells whether there is no address.
func (m MAC) IsZero() bool { return m == MAC{} }

// ParseMAC reads six pairs of hexadecimal digits between colons. The address must be one of a single station:
// neither zero nor multicast.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(MAC{}) || strings.Count(s, ":") != 5 {
		return MAC{}, fmt.Errorf("mac %q is not an address: write it like 02:00:00:00:00:01", s)
	}
	m := MAC(hw)
	return m, m.check()
}

// check says why m cannot be the address of a node.
func (m MAC) check() error {
	switch {
	case m.IsZero():
		return fmt.Errorf("mac %s is nobody's: write the address of the interface", m)
	case m[0]&1 != 0:
		return fmt.Errorf("mac %s is a multicast address: write the address of the interface", m)
	}
	return nil
}

// parseIP reads the IPv4 address of a node.
func parseIP(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !ip.Is4() {
		return netip.Addr{}, fmt.Errorf("ip %q is not an IPv4 address: write it like 10.0.0.1", s)
	}
	return ip, checkIP(ip)
}

// checkIP says why ip cannot be the address of a node.
func checkIP(ip netip.Addr) error {
	if !ip.Is4() || ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("ip %s is not the address of one IPv4 host: write the address of the interface", ip)
	}
	return nil
}

// checkInterface says why name cannot be the name of a network interface (Linux: dev_valid_name, and nothing unprintable).
func checkInterface(name string) error {
	bad := len(name) == 0 || len(name) > 15 || name == "." || name == ".."
	for _, c := range []byte(name) {
		bad = bad || c <= ' ' || c >= 0x7F || c == '/' || c == ':'
	}
	if bad {
		return fmt.Errorf("interface %q is not a name of an interface: see `ip link`", name)
	}
	return nil
}

// checkName says why s cannot be the name of a host or of an endpoint.
func checkName(key, s string) error {
	bad := len(s) == 0 || len(s) > 63
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		bad = bad || !letter && (c < '0' || '9' < c) && !strings.ContainsRune("._:-", rune(c))
	}
	if bad {
		return fmt.Errorf("%s %q is not a name: write 1 to 63 letters, digits, or one of . _ : -", key, s)
	}
	return nil
}

// Error is one fault of a configuration, on one line.
type Error struct {
	File string
	Line int // 0: of the file as a whole, or of something that did not come from it
	Text string
}

// Error is "file:line: text".
func (e *Error) Error() string { return placed(e.File, e.Line, e.Text) }

// Warning names something in the file that means nothing here.
type Warning struct {
	File string
	Line int
	Text string
}

// String is "file:line: text".
func (w Warning) String() string { return placed(w.File, w.Line, w.Text) }

func placed(file string, line int, text string) string {
	if line == 0 {
		return fmt.Sprintf("%s: %s", file, text)
	}
	return fmt.Sprintf("%s:%d: %s", file, line, text)
}

// fault is an error at the line of key, or of the table that key is missing from. What is missing from the top is missed in line 1.
func (f *File) fault(key, format string, args ...any) *Error {
	line, ok := f.lines[key]
	if table, _, dotted := strings.Cut(key, "."); !ok && dotted {
		line, ok = f.lines[table]
	}
	if !ok && f.lines != nil {
		line = 1
	}
	return &Error{File: f.Name, Line: line, Text: fmt.Sprintf(format, args...)}
}

// NodeError is an error about node n at the line of its key (say, "queue"; "" is the node as a whole), for what only shows itself when the
// node starts: "cluster.toml:17: node 3: queue 4: eth1 has 2 queues".
func (f *File) NodeError(n Node, key, format string, args ...any) error {
	line, ok := n.lines[key]
	if !ok {
		line = n.lines[""]
	}
	return &Error{File: f.Name, Line: line, Text: fmt.Sprintf("node %d: ", n.ID) + fmt.Sprintf(format, args...)}
}
