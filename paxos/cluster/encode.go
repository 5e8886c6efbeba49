package cluster

import (
	"bytes"
	"fmt"
	"strings"
)

// Encode writes the file as a cluster.toml: every key of the cluster with its value, of each node what it says. Parse of it gives the same
// configuration. What came from a paxos.conf is a cluster.toml afterwards: nodes go by their ids, which stand beside their old numbers.
func (f *File) Encode() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("cluster     = \"0x%016x\" # frames of other clusters are dropped", f.Cluster)
	f.encodeGroups(line)
	line("transport   = %s # afxdp, udp, mem", quoted(f.Transport))
	line("link        = %s # ethernet, udp4: what AF_XDP sends", quoted(f.Link))
	line("mode        = %s # auto, zerocopy, copy", quoted(f.Mode))
	if f.EtherTypes == nil {
		line("ethertype   = 0x%04X", f.EtherType)
	} else {
		line("ethertypes  = [%s] # one for each group", joined(f.EtherTypes, "0x%04X"))
	}
	line("vlan        = %d # 0: untagged", f.VLAN)
	line("udp_port    = %d", f.UDPPort)
	line("mtu         = %d # bytes of payload in a frame; 0: what the interface has", f.MTU)
	f.encodeQueue(line)
	line("multicast   = %t # what is for several nodes leaves once for each way to them", f.Multicast)
	line("batch       = %s # instance, frame, off", quoted(f.Batch))
	line("storage     = %s", quoted(f.Storage))
	line("idle        = %s # auto, spin, yield, backoff, block", quoted(f.Idle))
	line("window      = %d # instances, a power of two", f.Window)
	line("value_bytes = %d # a power of two", f.ValueBytes)
	line("max_value   = %d # largest value in bytes, up to 65536; 0: what fits a frame", f.MaxValue)
	line("slow_learner = %s # hold, drop: what is done about learners that hold the others back for slow_after", quoted(f.SlowLearner))
	line("sessions    = %d # of clients, that learners keep", f.Sessions)
	line("session_idle = %d # instances without use after which one gives way", f.SessionIdle)
	if f.Verbosity != "" {
		line("verbosity   = %s # quiet, error, info, debug", quoted(f.Verbosity))
	}
	line("\n[timing]")
	for _, field := range f.Timing.fields() {
		line("%-14s = %s", field.key, quoted(field.d.String()))
	}
	for _, n := range f.Nodes {
		f.encodeNode(line, n)
	}
	return b.Bytes()
}

// encodeGroups writes which groups there are: as many from the first on, or all of them.
func (f *File) encodeGroups(line func(format string, args ...any)) {
	row := len(f.Groups) > 0
	for i, g := range f.Groups {
		row = row && int(g) == int(f.Group)+i
	}
	switch {
	case row:
		line("group       = %d", f.Group)
		line("groups      = %d # from group on, each with the next queue, UDP port and core unless nodes have queues, ports, cores", len(f.Groups))
	case len(f.Groups) > 0:
		line("groups      = [%s] # each with the next queue, UDP port and core unless nodes have queues, ports, cores", joined(f.Groups, "%d"))
	default:
		line("group       = %d", f.Group)
	}
}

// joined writes numbers with commas between them.
func joined[N ~int | ~uint16](list []N, format string) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = fmt.Sprintf(format, n)
	}
	return strings.Join(words, ", ")
}

// encodeNode writes one [[node]], without what it does not say.
func (f *File) encodeNode(line func(format string, args ...any), n Node) {
	comment := ""
	if name, ok := f.confNameOf(n); ok {
		comment = fmt.Sprintf(" # was %s %d", name.roles, name.number)
	}
	line("\n[[node]]%s", comment)
	line("id        = %d", n.ID)
	roles := n.Roles.Names()
	if n.Roles.Has(Replica) {
		roles = append([]string{"replica"}, (n.Roles &^ Replica).Names()...)
	}
	for i, name := range roles {
		roles[i] = quoted(name)
	}
	line("roles     = [%s]", strings.Join(roles, ", "))
	text := func(key, value string) {
		if value != "" {
			line("%-9s = %s", key, quoted(value))
		}
	}
	integer := func(key string, value, absent int) {
		if value != absent {
			line("%-9s = %d", key, value)
		}
	}
	each := func(key string, value, absent int, list []int) {
		if list != nil {
			line("%-9s = [%s]", key+"s", joined(list, "%d"))
		} else {
			integer(key, value, absent)
		}
	}
	text("interface", n.Interface)
	each("queue", n.Queue, 0, n.Queues)
	if !n.MAC.IsZero() {
		text("mac", n.MAC.String())
	}
	if n.IP.IsValid() {
		text("ip", n.IP.String())
	}
	if n.Ports != nil {
		line("%-9s = [%s]", "ports", joined(n.Ports, "%d"))
	} else {
		integer("port", int(n.Port), 0)
	}
	each("core", n.Core, NoCore, n.Cores)
	text("host", n.Host)
	text("idle", string(n.Idle))
	text("endpoint", n.Endpoint)
}

// quoted is s as a TOML basic string. A file that passed Validate holds nothing to escape; one that did not still makes TOML.
func quoted[S ~string](s S) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range strings.ToValidUTF8(string(s), "\uFFFD") {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7F:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
