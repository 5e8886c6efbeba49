package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// span is a closed range of numbers.
type span struct {
	lo, hi int64
	zero   bool // 0 is allowed beside it
}

// The ranges of the numbers in a file.
var (
	spanGroup       = span{lo: 1, hi: 0xFFFF}
	spanEtherType   = span{lo: 0x0600, hi: 0xFFFF} // below lie the lengths of IEEE 802.3
	spanVLAN        = span{lo: 0, hi: 4094}
	spanPort        = span{lo: 1, hi: 0xFFFF}
	spanMTU         = span{lo: 128, hi: 65507, zero: true} // a message with a small value; what UDP carries
	spanWindow      = span{lo: 1 << 6, hi: 1 << 24}
	spanValueBytes  = span{lo: 1 << 16, hi: 1 << 36} // at least one value of 64 KiB
	spanMaxValue    = span{lo: 1, hi: 1 << 16, zero: true}
	spanSessions    = span{lo: 1, hi: 1 << 14}
	spanID          = span{lo: 1, hi: MaxNodes - 1}
	spanSessionIdle = span{lo: 16, hi: 1 << 40}
	spanQueue       = span{lo: 0, hi: 1023}
	spanCore        = span{lo: 0, hi: 1023} // the kernel's cpu_set_t
	spanCores       = span{lo: NoCore, hi: 1023}
	spanTiming      = span{lo: int64(10 * time.Microsecond), hi: int64(time.Hour)}
)

// takenEtherTypes would be stolen from the kernel by our steering: no SSH, no ARP.
var takenEtherTypes = map[uint16]string{
	0x0800: "IPv4", 0x0806: "ARP", 0x8100: "VLAN tags", 0x86DD: "IPv6", 0x88A8: "service VLAN tags", 0x88CC: "LLDP",
}

// check says why v is not in s.
func (s span) check(key string, v int64) error {
	if s.lo <= v && v <= s.hi || s.zero && v == 0 {
		return nil
	}
	switch {
	case s == spanEtherType:
		return fmt.Errorf("%s 0x%04X is out of range: write 0x%04X to 0x%04X", key, v, s.lo, s.hi)
	case s.zero:
		return fmt.Errorf("%s %d is out of range: write 0, or %d to %d", key, v, s.lo, s.hi)
	}
	return fmt.Errorf("%s %d is out of range: write %d to %d", key, v, s.lo, s.hi)
}

// checkWord says why v is not one of the words allowed.
func checkWord[S ~string](key string, v S, allowed []S) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	last := len(words) - 1
	if last == 0 {
		return fmt.Errorf("%s %q is unknown: write %s", key, string(v), words[0])
	}
	return fmt.Errorf("%s %q is unknown: write %s or %s", key, string(v), strings.Join(words[:last], ", "), words[last])
}

// The words that a file may use.
var (
	transports  = []Transport{TransportAFXDP, TransportUDP, TransportMem}
	links       = []Link{LinkEthernet, LinkUDP4}
	modes       = []Mode{ModeAuto, ModeZeroCopy, ModeCopy}
	batches     = []Batch{BatchInstance, BatchFrame, BatchOff}
	idles       = []Idle{IdleAuto, IdleSpin, IdleYield, IdleBackoff, IdleBlock}
	slows       = []SlowLearner{SlowHold, SlowDrop}
	verbosities = []string{"quiet", "error", "info", "debug"}
)

// Validate checks the whole file and returns the first fault. What Load and Parse return has passed it; call it again after
// changing a field.
func (f *File) Validate() error {
	for _, rule := range []func() error{f.checkWords, f.checkNumbers, f.checkQueue, f.checkTiming, f.checkNodes, f.checkCounts, f.checkEndpoints} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

// keyed is a check's outcome and the key that it is about.
type keyed struct {
	key string
	err error
}

func (f *File) first(checks []keyed) error {
	for _, c := range checks {
		if c.err != nil {
			return f.fault(c.key, "%v", c.err)
		}
	}
	return nil
}

func (f *File) firstOf(n Node, checks []keyed) error {
	for _, c := range checks {
		if c.err != nil {
			return f.NodeError(n, c.key, "%v", c.err)
		}
	}
	return nil
}

func (f *File) checkWords() error {
	if f.Cluster == 0 {
		return f.fault("cluster", `cluster is missing: write cluster = "0x" and the 16 digits that "wirepaxos cluster new" draws`)
	}
	if f.Storage == "wal" {
		return f.fault("storage", `storage "wal" is not in this version: write storage = "memory", where an acceptor that restarts does not vote again`)
	}
	var verbosity error
	if f.Verbosity != "" {
		verbosity = checkWord("verbosity", f.Verbosity, verbosities)
	}
	return f.first([]keyed{
		{"transport", checkWord("transport", f.Transport, transports)},
		{"link", checkWord("link", f.Link, links)},
		{"mode", checkWord("mode", f.Mode, modes)},
		{"batch", checkWord("batch", f.Batch, batches)},
		{"storage", checkWord("storage", f.Storage, []Storage{StorageMemory})},
		{"idle", checkWord("idle", f.Idle, idles)},
		{"slow_learner", checkWord("slow_learner", f.SlowLearner, slows)},
		{"verbosity", verbosity},
	})
}

func (f *File) checkNumbers() error {
	if err := f.checkGroups(); err != nil {
		return err
	}
	return f.first([]keyed{
		{"group", spanGroup.check("group", int64(f.Group))},
		{"ethertype", checkEtherType(f.EtherType)},
		{"vlan", spanVLAN.check("vlan", int64(f.VLAN))},
		{"udp_port", spanPort.check("udp_port", int64(f.UDPPort))},
		{"mtu", spanMTU.check("mtu", int64(f.MTU))},
		{"window", checkPowerOfTwo("window", f.Window, spanWindow)},
		{"value_bytes", checkPowerOfTwo("value_bytes", f.ValueBytes, spanValueBytes)},
		{"max_value", spanMaxValue.check("max_value", f.MaxValue)},
		{"value_bytes", f.checkRing()},
		{"sessions", spanSessions.check("sessions", int64(f.Sessions))},
		{"session_idle", spanSessionIdle.check("session_idle", f.SessionIdle)},
		{"session_idle", f.checkRenewals()},
	})
}

func checkEtherType(t uint16) error {
	if owner := takenEtherTypes[t]; owner != "" {
		return fmt.Errorf("ethertype 0x%04X is that of %s: write one that nothing uses, such as 0x88B5", t, owner)
	}
	return spanEtherType.check("ethertype", int64(t))
}

// checkRenewals refuses idle sessions that would keep each other alive: each renews once in a quarter of session_idle, and each renewal is a value
// that moves the log on.
func (f *File) checkRenewals() error {
	const renewals = 4
	if least := renewals * int64(f.Sessions); f.SessionIdle <= least {
		return fmt.Errorf("session_idle %d is too little for %d sessions: idle ones would renew each other for ever: write more than %d", f.SessionIdle,
			f.Sessions, least)
	}
	return nil
}

// checkRing holds rings of values to a size that takes several of the largest.
func (f *File) checkRing() error {
	const valueHeader = 24 // of paxos/PROTOCOL.md
	least := int64(1)
	for least < 4*(f.MaxValue+valueHeader) {
		least *= 2
	}
	if f.ValueBytes < least {
		return fmt.Errorf("value_bytes %d is too little for values of %d bytes (max_value): write at least %d", f.ValueBytes, f.MaxValue, least)
	}
	return nil
}

func checkPowerOfTwo(key string, v int64, s span) error {
	if err := s.check(key, v); err != nil {
		return err
	}
	if v&(v-1) == 0 {
		return nil
	}
	below := int64(1)
	for below*2 < v {
		below *= 2
	}
	return fmt.Errorf("%s %d is not a power of two: write %d or %d", key, v, below, below*2)
}

// timings are the keys of [timing] and where they live.
func (t *Timing) fields() []timingField {
	return []timingField{
		{"heartbeat", &t.Heartbeat}, {"retry", &t.Retry}, {"lease", &t.Lease},
		{"leader_timeout", &t.LeaderTimeout}, {"client_retry", &t.ClientRetry}, {"slow_after", &t.SlowAfter},
	}
}

type timingField struct {
	key string
	d   *time.Duration
}

// leastBeats is how many heartbeats a leader timeout has room for at least.
const leastBeats = 3

func (f *File) checkTiming() error {
	for _, field := range f.Timing.fields() {
		if d := int64(*field.d); d < spanTiming.lo || d > spanTiming.hi {
			return f.fault("timing."+field.key, "%s %s is out of range: write 10us to 1h", field.key, *field.d)
		}
	}
	if least := leastBeats * f.Timing.Heartbeat; f.Timing.LeaderTimeout < least {
		return f.fault("timing.leader_timeout", "leader_timeout %s is shorter than %d heartbeats of %s: "+
			"a leader would be taken for gone for one lost frame, write at least %s, or a shorter heartbeat", f.Timing.LeaderTimeout, leastBeats, f.Timing.Heartbeat, least)
	}
	return nil
}

func (f *File) checkNodes() error {
	seen := make(map[uint16]Node)
	for _, n := range f.Nodes {
		if err := spanID.check("id", int64(n.ID)); err != nil {
			return f.NodeError(n, "id", "%v", err)
		}
		if other, twice := seen[n.ID]; twice {
			where := ""
			if line := other.lines[""]; line != 0 {
				where = fmt.Sprintf(" in line %d", line)
			}
			return f.NodeError(n, "id", "id is taken%s: give every node one of its own", where)
		}
		seen[n.ID] = n
		if err := f.checkNode(n); err != nil {
			return err
		}
	}
	return nil
}

// checkNode checks what can be said of a node without the others.
func (f *File) checkNode(n Node) error {
	var roles, ifname, host, endpoint, idle, mac, ip, core error
	if n.Roles == 0 || n.Roles&^(Replica|Client) != 0 {
		roles = fmt.Errorf(`roles are missing: write roles = ["acceptor"], or others of acceptor, proposer, learner, client, replica`)
	}
	if n.Interface != "" {
		ifname = checkInterface(n.Interface)
	}
	if n.Host != "" {
		host = checkName("host", n.Host)
	}
	if n.Endpoint != "" {
		endpoint = checkName("endpoint", n.Endpoint)
	}
	if n.Idle != "" {
		idle = checkWord("idle", n.Idle, idles)
	}
	if n.Core != NoCore {
		core = spanCore.check("core", int64(n.Core))
	}
	if !n.MAC.IsZero() {
		mac = n.MAC.check()
	} else if f.Transport == TransportAFXDP && f.Link == LinkEthernet {
		mac = fmt.Errorf("mac is missing: write the address of its interface, raw Ethernet needs it")
	}
	if n.IP.IsValid() {
		ip = checkIP(n.IP)
	} else if f.LinkLayer() == LinkUDP4 {
		ip = fmt.Errorf("ip is missing: write the IPv4 address of its interface, UDP needs it")
	}
	if ip == nil && n.IP.IsLoopback() && f.Transport == TransportAFXDP && f.Link == LinkUDP4 {
		ip = fmt.Errorf("ip %s does not leave the host: AF_XDP needs the address of a NIC, or write transport = \"udp\"", n.IP)
	}
	return f.firstOf(n, []keyed{
		{"roles", roles}, {"interface", ifname}, {"queue", spanQueue.check("queue", int64(n.Queue))}, {"mac", mac}, {"ip", ip},
		{"core", core}, {"host", host}, {"endpoint", endpoint}, {"idle", idle},
	})
}

func (f *File) checkCounts() error {
	for _, limit := range []struct {
		role Roles
		most int
	}{{Acceptor, MaxAcceptors}, {Proposer, MaxProposers}} {
		nodes := f.having(limit.role)
		if len(nodes) == 0 {
			if f.names != nil {
				return f.fault("node", "no line names a %s or a replica: add one", limit.role)
			}
			return f.fault("node", "no node has the role %s: add a [[node]] with roles = [%q]", limit.role, limit.role)
		}
		if len(nodes) > limit.most {
			return f.NodeError(nodes[limit.most], "roles", "%s number %d: at most %d are supported, take the role from some",
				limit.role, limit.most+1, limit.most)
		}
	}
	return nil
}

// checkEndpoints checks what the nodes of one endpoint, one queue, one NIC and one host say about it, and then the same of all further groups.
func (f *File) checkEndpoints() error {
	ends, err := f.endpoints()
	if err != nil {
		return err
	}
	if f.Transport == TransportMem {
		return f.checkEach()
	}
	for i, b := range ends {
		for _, a := range ends[:i] {
			n, other := b.Nodes[0], a.Nodes[0].ID
			sameNIC := !a.MAC.IsZero() && a.MAC == b.MAC
			switch {
			case sameNIC && a.Interface != "" && b.Interface != "" && a.Interface != b.Interface:
				return f.NodeError(n, "interface", "interface %s has the mac of node %d on %s: write the same interface, or its own mac",
					b.Interface, other, a.Interface)
			case f.Transport == TransportAFXDP && sameNIC && a.Queue == b.Queue:
				return f.NodeError(n, "queue", "queue %d of mac %s is taken by node %d with another ip: write another queue", b.Queue, b.MAC, other)
			case a.IP.IsValid() && a.IP == b.IP && !a.MAC.IsZero() && !b.MAC.IsZero() && !sameNIC:
				return f.NodeError(n, "mac", "mac %s has the ip of node %d with mac %s: write the same mac, or its own ip", b.MAC, other, a.MAC)
			}
		}
	}
	return f.checkEach()
}
