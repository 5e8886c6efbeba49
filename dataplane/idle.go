package dataplane

import (
	"fmt"
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// IdleKind names what a loop does in a cycle that found no work.
type IdleKind uint8

const (
	// IdleSpin polls again at once: the least latency, for a loop with a core of its own. Go has no PAUSE instruction outside
	// assembly; the poll of the ports itself is what paces the spin.
	IdleSpin IdleKind = iota
	// IdleYield offers the core to other threads (sched_yield) and polls again: for a few loops that share a core.
	IdleYield
	// IdleBackoff spins, then yields, then sleeps, each sleep twice as long as the last up to MaxNapNs.
	IdleBackoff
	// IdleBlock sleeps in ppoll(2) on the ports' descriptors until something arrives or the task's deadline comes: for machines
	// with fewer cores than loops.
	IdleBlock
)

var idleNames = [...]string{IdleSpin: "spin", IdleYield: "yield", IdleBackoff: "backoff", IdleBlock: "block"}

func (k IdleKind) String() string {
	if int(k) < len(idleNames) {
		return idleNames[k]
	}
	return fmt.Sprintf("IdleKind(%d)", uint8(k))
}

// ParseIdle reads the name of an idle strategy.
func ParseIdle(name string) (IdleKind, error) {
	for kind, known := range idleNames {
		if name == known {
			return IdleKind(kind), nil
		}
	}
	return 0, fmt.Errorf("unknown idle strategy %q: choose spin, yield, backoff or block", name)
}

const (
	backoffSpins  = 256       // empty cycles of IdleBackoff before it yields
	backoffYields = 64        // and before it sleeps
	firstNapNs    = 2_000     // its first sleep
	backoffNapNs  = 200_000   // its longest, unless configured
	blockNapNs    = 100 * 1e6 // longest ppoll of IdleBlock, unless configured
	blindNapNs    = 50_000    // longest ppoll beside a port that has no descriptor: that port is polled this often
	leastNapNs    = 1_000     // a deadline closer than this is spun for
)

// idler is the idle strategy of one loop and its state.
type idler struct {
	kind     IdleKind
	maxNapNs int64
	empty    int   // empty cycles in a row
	nextNap  int64 // ns, IdleBackoff
	blind    bool  // IdleBlock: some port has no descriptor
	ports    []Port
	fds      []unix.PollFd // the loop's own wake-up; IdleBlock: and those of the ports
	nap      unix.Timespec // ppoll writes what was left of it
	yields   uint64
	naps     uint64
}

func newIdler(cfg *LoopConfig, wakeFD int) idler {
	i := idler{kind: cfg.Idle, maxNapNs: cfg.MaxNapNs, nextNap: firstNapNs, ports: cfg.Ports}
	if i.maxNapNs == 0 {
		i.maxNapNs = backoffNapNs
		if i.kind == IdleBlock {
			i.maxNapNs = blockNapNs
		}
	}
	i.fds = append(make([]unix.PollFd, 0, len(cfg.Ports)+1), unix.PollFd{Fd: int32(wakeFD), Events: unix.POLLIN})
	if i.kind != IdleBlock {
		return i
	}
	for _, port := range cfg.Ports {
		if fd := port.FD(); fd >= 0 {
			i.fds = append(i.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		} else {
			i.blind = true
		}
	}
	return i
}

// busy notes a cycle that found work.
func (i *idler) busy() {
	i.empty = 0
	i.nextNap = firstNapNs
}

// rest ends a cycle that found none. It answers true if the thread may have slept.
func (i *idler) rest(now int64, task Task) bool {
	switch i.kind {
	case IdleYield:
		return i.yield()
	case IdleBackoff:
		return i.backOff(now, task)
	case IdleBlock:
		return i.block(now, task)
	default:
		return false
	}
}

// yield goes through the runtime (Syscall): another thread may keep the core for milliseconds, and a stop-the-world must not wait
// for that.
func (i *idler) yield() bool {
	i.yields++
	_, _, _ = syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	return true
}

func (i *idler) backOff(now int64, task Task) bool {
	i.empty++
	if i.empty <= backoffSpins {
		return false
	}
	if i.empty <= backoffSpins+backoffYields {
		return i.yield()
	}
	nap := min(i.nextNap, i.maxNapNs, untilDeadline(now, task))
	if nap < leastNapNs {
		return false
	}
	i.nextNap = min(2*i.nextNap, i.maxNapNs)
	i.sleep(nap)
	return true
}

func (i *idler) block(now int64, task Task) bool {
	nap := min(i.maxNapNs, untilDeadline(now, task))
	if i.blind {
		nap = min(nap, blindNapNs)
	}
	if nap < leastNapNs {
		return false
	}
	for _, port := range i.ports {
		if !port.Arm() {
			return false
		}
	}
	i.sleep(nap)
	return true
}

// sleep returns when nap nanoseconds have passed, a port has something, or someone wants the loop's attention. Ready, timed out or
// interrupted by a signal is all the same: the next cycle polls the ports in any case.
func (i *idler) sleep(nap int64) {
	i.naps++
	i.nap = unix.NsecToTimespec(nap)
	_, _ = unix.Ppoll(i.fds, &i.nap, nil)
}

func untilDeadline(now int64, task Task) int64 {
	deadline := task.Deadline()
	if deadline == math.MaxInt64 {
		return math.MaxInt64
	}
	return deadline - now
}
