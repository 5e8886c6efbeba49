package dataplane

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// NoCore as LoopConfig.Core leaves the loop's thread wherever the kernel puts it.
const NoCore = -1

// maxCores bounds the numbers of cores that a kernel list may name (unix.CPUSet has room for 1,024).
const maxCores = 1024

// CoreSet says which cores there are for loops.
type CoreSet struct {
	Allowed  []int // cores this process may use: its affinity when it started, and isolated ones that the kernel lets it have besides; ascending
	Isolated []int // of those, the ones the kernel keeps other threads off (isolcpus), ascending
}

// coresAtStart is read before any loop narrows the affinity of a thread; the main thread may be one of them later.
var coresAtStart, coresAtStartErr = readCores()

// Cores returns the cores that loops of this process can be pinned to.
func Cores() (CoreSet, error) {
	if coresAtStartErr != nil {
		return CoreSet{}, coresAtStartErr
	}
	return CoreSet{Allowed: slices.Clone(coresAtStart.Allowed), Isolated: slices.Clone(coresAtStart.Isolated)}, nil
}

func readCores() (CoreSet, error) {
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return CoreSet{}, fmt.Errorf("cannot read which cores this process may use (sched_getaffinity): %w", err)
	}
	var set CoreSet
	for core := range maxCores {
		if mask.IsSet(core) {
			set.Allowed = append(set.Allowed, core)
		}
	}
	text, err := os.ReadFile("/sys/devices/system/cpu/isolated")
	if errors.Is(err, os.ErrNotExist) {
		return set, nil
	}
	if err != nil {
		return CoreSet{}, fmt.Errorf("cannot read which cores are isolated: %w", err)
	}
	isolated, err := ParseCores(strings.TrimSpace(string(text)))
	if err != nil {
		return CoreSet{}, fmt.Errorf("/sys/devices/system/cpu/isolated: %w", err)
	}
	set.addIsolated(isolated, func(core int) bool { return mayHave(core, &mask) })
	return set, nil
}

// addIsolated takes in the isolated cores. Under isolcpus the first process, and with it every other that was told nothing else, has an affinity
// without them; whoever asks for one gets it nevertheless, unless a cpuset forbids.
func (s *CoreSet) addIsolated(isolated []int, mayHave func(core int) bool) {
	for _, core := range isolated {
		if !slices.Contains(s.Allowed, core) {
			if !mayHave(core) {
				continue
			}
			s.Allowed = append(s.Allowed, core)
		}
		s.Isolated = append(s.Isolated, core)
	}
	slices.Sort(s.Allowed)
}

// mayHave tries whether the calling thread can be put on a core, and gives it its cores back.
func mayHave(core int, former *unix.CPUSet) bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var wanted unix.CPUSet
	wanted.Set(core)
	if unix.SchedSetaffinity(0, &wanted) != nil {
		return false
	}
	return unix.SchedSetaffinity(0, former) == nil
}

// ParseCores reads the kernel's form of a set of cores, "0-2,5" (Documentation/admin-guide/cputopology.rst).
func ParseCores(list string) ([]int, error) {
	if list == "" {
		return nil, nil
	}
	var cores []int
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			return nil, fmt.Errorf("core list %q: %q is not a core", list, part)
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil {
				return nil, fmt.Errorf("core list %q: %q is not a core", list, part)
			}
		}
		if first < 0 || last < first || last >= maxCores {
			return nil, fmt.Errorf("core list %q: %q is not a range within 0-%d", list, part, maxCores-1)
		}
		for core := first; core <= last; core++ {
			cores = append(cores, core)
		}
	}
	slices.Sort(cores)
	return slices.Compact(cores), nil
}

// FormatCores is the inverse of ParseCores. cores are ascending.
func FormatCores(cores []int) string {
	var b strings.Builder
	for i := 0; i < len(cores); {
		last := i
		for last+1 < len(cores) && cores[last+1] == cores[last]+1 {
			last++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cores[i]))
		if last > i {
			fmt.Fprintf(&b, "-%d", cores[last])
		}
		i = last + 1
	}
	return b.String()
}

// checkCore tells whether a loop may be pinned to core.
func checkCore(core int) error {
	if core == NoCore {
		return nil
	}
	if coresAtStartErr != nil {
		return coresAtStartErr
	}
	if !slices.Contains(coresAtStart.Allowed, core) {
		return fmt.Errorf("core %d is not among the cores that this process may use (%s): choose one of those, or -1 for none",
			core, FormatCores(coresAtStart.Allowed))
	}
	return nil
}

// pinThread binds the calling thread, which must be locked to its goroutine, to one core. The function that it returns gives the
// thread its former cores back.
func pinThread(core int) (restore func(), err error) {
	if core == NoCore {
		return func() {}, nil
	}
	var former, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &former); err != nil {
		return nil, fmt.Errorf("cannot read the thread's cores (sched_getaffinity): %w", err)
	}
	wanted.Set(core)
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return nil, fmt.Errorf("cannot pin the thread to core %d (sched_setaffinity; allowed at start: %s): %w",
			core, FormatCores(coresAtStart.Allowed), err)
	}
	// A thread that cannot be widened again would be handed back to the runtime narrowed: nothing can be done about that, and only
	// a cpuset changed meanwhile makes it fail.
	return func() { _ = unix.SchedSetaffinity(0, &former) }, nil
}

// procsHeld counts the loops that hold a P of the Go runtime for themselves; procsMu orders those that come and go.
var (
	procsMu   sync.Mutex
	procsHeld atomic.Int32
)

// holdProc makes sure that there is a P for each loop and one more for all other goroutines: without it a control socket, or
// the garbage collector's workers, would never run beside loops that spin. It raises GOMAXPROCS if need be; more Ps than cores are
// no harm, the kernel divides the cores.
func holdProc() {
	procsMu.Lock()
	defer procsMu.Unlock()
	if held := int(procsHeld.Add(1)); runtime.GOMAXPROCS(0) <= held {
		runtime.GOMAXPROCS(held + 1)
	}
}

func releaseProc() { procsHeld.Add(-1) }

// spareProc tells whether other goroutines have a P though every loop keeps one.
func spareProc() bool { return runtime.GOMAXPROCS(0) > int(procsHeld.Load()) }

// narrowTimerSlack makes the calling thread's sleeps as short as asked for; the kernel would lengthen them by 50 µs. The function that
// it returns undoes that. Where it is refused sleeps are longer, nothing else.
func narrowTimerSlack() (restore func()) {
	former, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) != nil {
		return func() {}
	}
	return func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(former), 0, 0, 0) }
}
