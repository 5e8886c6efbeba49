package doctor

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/netdev"
	"wirepaxos/tools/nic"
)

// Need is what is to run on the machine.
type Need struct {
	AFXDP bool   // it opens AF_XDP sockets
	Bare  bool   // nothing is named: the page is about the machine as such
	Loops []Loop // with or without a core
	NICs  []NIC

	LockMemory bool // memory is to be locked
	HugePages  bool // the UMEM of each queue is to lie in reserved hugepages, and nowhere else
	Cell       int  // bytes of the UMEM for a packet; 0: afxdp.SmallCell
	DMALatency bool // /dev/cpu_dma_latency is to be held
	FIFO       bool // loops are to run under SCHED_FIFO
}

// NoCore is the Core of a loop that is pinned nowhere, and NoQueue the Queue of an interface of which none is named.
const (
	NoCore  = -1
	NoQueue = -1
)

// Loop is one poll loop.
type Loop struct {
	Name      string // "node 1,2"
	Core      int
	Interface string // of its port; "" for none
	Spins     bool   // it never sleeps
}

// NIC is a queue of an interface that a loop binds.
type NIC struct {
	Name      string // "node 1,2"; "" where only the interface is named
	Interface string
	Queue     int
	Mode      string           // afxdp.ModeAuto, …; "" is auto
	UDP       bool             // packets have IPv4 and UDP headers
	EtherType uint16           // of frames that have none
	Port      uint16           // UDP destination port of those that have
	IP        netip.Addr       // address that peers send to; invalid where the cluster file does not say
	BusyPoll  bool             // sockets prefer busy polling
	MTU       int              // payload of a frame that must fit, in bytes
	VLAN      int              // tag on every packet; 0: none
	MAC       net.HardwareAddr // that peers send to; nil where the cluster file does not say
}

// cores are those that loops name, ascending, each once.
func (n *Need) cores() (cores []int) {
	for _, l := range n.Loops {
		if l.Core != NoCore {
			cores = append(cores, l.Core)
		}
	}
	slices.Sort(cores)
	return slices.Compact(cores)
}

// spinning are the loops with a core that never sleep.
func (n *Need) spinning() (loops []Loop) {
	for _, l := range n.Loops {
		if l.Core != NoCore && l.Spins {
			loops = append(loops, l)
		}
	}
	return loops
}

// Source is where facts come from. Here is this machine.
type Source struct {
	Root string                                      // folder that stands for "/"
	Look func(name string) (*afxdp.Sight, error)     // an interface, without binding it
	Ask  func(s *afxdp.Sight) Driver                 // what its driver tells
	Held func(s *afxdp.Sight, want int) []nic.Holder // its queues that are taken, and by whom
	List func() ([]nic.Interface, error)             // all interfaces
	Try  func() []Attempt                            // what an AF_XDP process does first, done and undone
	Hold func(path string) error                     // opens a device and closes it again
	Exec func() (path string)                        // the program to give capabilities to
	Ours func(core int) (allowed bool, list string)  // whether this process may use a core, and those that it may
}

// Attempt is something that was tried.
type Attempt struct {
	What string
	Mend string
	Err  error
}

// Driver is what a driver tells of itself.
type Driver struct {
	Name     string // "" where it does not tell
	XDP      netdev.Features
	KnowsXDP bool             // whether the kernel told XDP
	Lacks    []string         // what keeps a virtio device from zero-copy
	Features map[string]bool  // offloads by the kernel's names, as `ethtool -k` has them
	RSS      []uint32         // queue of each cell of the indirection table; nil where there is none
	Rules    []nic.PlacedRule // ntuple rules
	Clock    string           // "hardware", "software", or "" where it does not tell: receive time-stamps
	Node     int              // NUMA node; -1: none, or unknown
	Defer    int              // napi_defer_hard_irqs; -1: unknown
	FlushNs  int              // gro_flush_timeout; -1: unknown
}

// exam is one examination.
type exam struct {
	need *Need
	from *Source
	page Page
	seen map[string]*seen // interfaces that were looked at, by name
}

// seen is one interface.
type seen struct {
	sight  *afxdp.Sight
	err    error
	driver Driver
}

// look looks at an interface once, and asks its driver.
func (e *exam) look(name string) *seen {
	if s := e.seen[name]; s != nil {
		return s
	}
	s := &seen{}
	if s.sight, s.err = e.from.Look(name); s.err == nil {
		s.driver = e.from.Ask(s.sight)
	}
	if e.seen == nil {
		e.seen = map[string]*seen{}
	}
	e.seen[name] = s
	return s
}

// Examine looks at everything that the need touches.
func Examine(need *Need, from *Source) *Page {
	e := &exam{need: need, from: from}
	e.kernel()
	e.privileges()
	e.memory()
	e.clocks()
	e.cores()
	for _, n := range need.NICs {
		e.nic(n)
	}
	if need.Bare {
		e.candidates()
	}
	return &e.page
}

// add adds a line, unless it is there: two queues of one interface have much in common.
func (e *exam) add(g Grade, what, text, mend string) {
	if l := (Line{Grade: g, What: what, Text: text, Mend: mend}); !slices.Contains(e.page.Lines, l) {
		e.page.Lines = append(e.page.Lines, l)
	}
}

func (e *exam) green(what, text string)        { e.add(Green, what, text, "") }
func (e *exam) yellow(what, text, mend string) { e.add(Yellow, what, text, mend) }
func (e *exam) red(what, text, mend string)    { e.add(Red, what, text, mend) }

// read is the content of a file below the root without the blanks around it. A file that is not there is one that this kernel does not have.
func (e *exam) read(path string) (text string, there bool) {
	content, err := os.ReadFile(filepath.Join(e.from.Root, path))
	return strings.TrimSpace(string(content)), err == nil
}

// number reads a file that holds one number.
func (e *exam) number(path string) (n int64, there bool) {
	text, there := e.read(path)
	n, err := strconv.ParseInt(text, 10, 64)
	return n, there && err == nil
}

// list are the files of a pattern below the root, without the root.
func (e *exam) list(pattern string) []string {
	paths, _ := filepath.Glob(filepath.Join(e.from.Root, pattern)) // the patterns are our own
	for i, p := range paths {
		paths[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(p, strings.TrimSuffix(e.from.Root, "/")), "/")
	}
	return paths
}
