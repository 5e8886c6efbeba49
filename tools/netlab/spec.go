package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"
)

const (
	// MaxHosts is the number of cells in the switch's tables.
	MaxHosts = 64
	// MaxQueues bounds the queues of one host.
	MaxQueues = 16
	// MaxRules bounds the steering rules of one host.
	MaxRules = 64
	// MinMTU is IPv4's own minimum; MaxMTU is what native XDP on veth can hold in one page beside its headroom.
	MinMTU = 68
	MaxMTU = 3400
	// DefaultMTU is Ethernet's.
	DefaultMTU = 1500
	// MaxDelay bounds Faults.Delay: frames are held in memory for so long.
	MaxDelay = 10 * time.Second

	million = 1_000_000
)

// Interface is the name of every host's end of its pair, inside its namespace.
const Interface = "wp0"

// switchName stands for the switch where a host's name would stand.
const switchName = "sw"

// A lab's name has no dash, so that no two pairs of lab and host make the same name of a namespace.
var (
	labName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,23}$`)
	hostName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,23}$`)
)

// ErrNoSwitch is what a direct pair answers to everything that only a switch can do.
var ErrNoSwitch = errors.New("two hosts joined directly have no switch: set Spec.ForceSwitch")

// Spec says what to build.
type Spec struct {
	Name        string     // of the lab: a letter or digit, then letters, digits and underscores, lower case, at most 24
	Hosts       []HostSpec // 2 to MaxHosts
	MTU         int        // bytes behind the Ethernet header, for all links; 0 is DefaultMTU
	Faults      Faults
	ForceSwitch bool // build the switch even where a direct pair would do, say to set faults later
}

// HostSpec is one host.
type HostSpec struct {
	Name   string // lower case, at most 24; dashes are allowed; not "sw"
	Queues int    // receive and transmit queues of its interface; 0 is 1
	Steer  []Rule // which frames go to which queue: the first rule that matches; queue 0 where none does
}

// Rule sends the frames that hold Bytes at Offset to one of the host's queues.
type Rule struct {
	Offset int    // from the first byte of the Ethernet header, not counting an 802.1Q tag
	Bytes  []byte // 1, 2 or 4 bytes as they stand on the wire
	Queue  int
}

// Faults are what the switch does to frames, each at a rate in parts per million of the frames that enter it. A frame is
// dropped, else delayed, else duplicated: never two of them. A multicast frame is one frame: its fault is the same for all who get it.
type Faults struct {
	DropPPM      uint32
	DuplicatePPM uint32
	DelayPPM     uint32
	Delay        time.Duration // how long a delayed frame is held, at least; the timer adds some 0.1 ms
}

func (f Faults) none() bool { return f.DropPPM == 0 && f.DuplicatePPM == 0 && f.DelayPPM == 0 }

func (f Faults) validate() error {
	for _, rate := range []struct {
		what string
		ppm  uint32
	}{{"drop", f.DropPPM}, {"duplicate", f.DuplicatePPM}, {"delay", f.DelayPPM}} {
		if rate.ppm > million {
			return fmt.Errorf("%s rate %d: it is in parts per million, at most %d", rate.what, rate.ppm, million)
		}
	}
	if f.Delay < 0 || f.Delay > MaxDelay {
		return fmt.Errorf("delay %v: must lie between 0 and %v", f.Delay, MaxDelay)
	}
	if f.DelayPPM > 0 && f.Delay == 0 {
		return errors.New("frames are to be delayed, but by nothing: set Faults.Delay")
	}
	return nil
}

// Host is one host of a lab that runs.
type Host struct {
	Name      string           `json:"name"`
	Namespace string           `json:"namespace"` // as `ip netns` names it
	Interface string           `json:"interface"`
	MAC       net.HardwareAddr `json:"mac"` // the same in every lab
	IP        netip.Addr       `json:"ip"`  // the same in every lab: namespaces keep them apart
	Queues    int              `json:"queues"`
}

// namespaceOf is the name of a host's namespace, or of the switch's.
func namespaceOf(lab, host string) string { return "wp-" + lab + "-" + host }

// addressOf gives the host in a cell of the switch its addresses: locally administered, alike in every lab.
func addressOf(slot int) (net.HardwareAddr, netip.Addr) {
	return net.HardwareAddr{0x02, 0x57, 0x50, 0, 0, byte(slot + 1)}, netip.AddrFrom4([4]byte{10, 77, 0, byte(slot + 1)})
}

// subnetBits is the prefix length that all hosts share.
const subnetBits = 24

// validate fills in defaults and says what is wrong.
func (s *Spec) validate() error {
	if !labName.MatchString(s.Name) {
		return fmt.Errorf("lab %q: name it with at most 24 lower-case letters, digits and underscores", s.Name)
	}
	if s.MTU == 0 {
		s.MTU = DefaultMTU
	}
	if s.MTU < MinMTU || s.MTU > MaxMTU {
		return fmt.Errorf("lab %s: MTU %d: must lie between %d and %d", s.Name, s.MTU, MinMTU, MaxMTU)
	}
	if len(s.Hosts) < 2 || len(s.Hosts) > MaxHosts {
		return fmt.Errorf("lab %s: %d hosts: must be 2 to %d", s.Name, len(s.Hosts), MaxHosts)
	}
	if err := s.Faults.validate(); err != nil {
		return fmt.Errorf("lab %s: %w", s.Name, err)
	}
	hosts := make([]HostSpec, len(s.Hosts))
	seen := make(map[string]bool)
	for i, h := range s.Hosts {
		if h.Queues == 0 {
			h.Queues = 1
		}
		if err := h.validate(); err != nil {
			return fmt.Errorf("lab %s: %w", s.Name, err)
		}
		if seen[h.Name] {
			return fmt.Errorf("lab %s: host %s is there twice", s.Name, h.Name)
		}
		seen[h.Name] = true
		hosts[i] = h
	}
	s.Hosts = hosts // a copy: the caller's slice stays as it was
	return nil
}

func (h HostSpec) validate() error {
	if !hostName.MatchString(h.Name) || h.Name == switchName {
		return fmt.Errorf("host %q: name it with at most 24 lower-case letters, digits, dashes and underscores, not %q",
			h.Name, switchName)
	}
	if h.Queues < 1 || h.Queues > MaxQueues {
		return fmt.Errorf("host %s: %d queues: must be 1 to %d", h.Name, h.Queues, MaxQueues)
	}
	if len(h.Steer) > MaxRules {
		return fmt.Errorf("host %s: %d steering rules: at most %d", h.Name, len(h.Steer), MaxRules)
	}
	for i, r := range h.Steer {
		if n := len(r.Bytes); n != 1 && n != 2 && n != 4 {
			return fmt.Errorf("host %s: steering rule %d matches %d bytes: must be 1, 2 or 4", h.Name, i, n)
		}
		if r.Offset < 0 || r.Offset > MaxMTU {
			return fmt.Errorf("host %s: steering rule %d: offset %d lies in no frame", h.Name, i, r.Offset)
		}
		if r.Queue < 0 || r.Queue >= h.Queues {
			return fmt.Errorf("host %s: steering rule %d: queue %d: the host has %d", h.Name, i, r.Queue, h.Queues)
		}
	}
	return nil
}

// direct tells whether one veth pair between the two hosts does all that the spec asks for. Several queues need the switch, which steers.
func (s *Spec) direct() bool {
	return len(s.Hosts) == 2 && s.Faults.none() && !s.ForceSwitch && s.Hosts[0].Queues == 1 && s.Hosts[1].Queues == 1
}

// hosts lists what Up will build, in the order of the spec.
func (s *Spec) hosts() []Host {
	hosts := make([]Host, len(s.Hosts))
	for i, h := range s.Hosts {
		mac, ip := addressOf(i)
		hosts[i] = Host{
			Name: h.Name, Namespace: namespaceOf(s.Name, h.Name), Interface: Interface, MAC: mac, IP: ip, Queues: h.Queues,
		}
	}
	return hosts
}
