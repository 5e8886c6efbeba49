package nictest

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
)

// reflector is a loop's task: what comes is sent back.
type reflector struct{ port dataplane.Port }

func (r *reflector) Cycle(int64) int { return reflect(r.port) }

func (r *reflector) Deadline() int64 { return math.MaxInt64 }

// A loop runs on a core that the kernel keeps all other threads off, which is not among those that processes begin with, and its port is zero-copy.
func TestPinned(t *testing.T) {
	na, nb := pair(t)
	cores, err := dataplane.Cores()
	must(t, err)
	if len(cores.Isolated) == 0 {
		t.Skip("needs an isolated core: boot with isolcpus=1")
	}
	core := cores.Isolated[0]
	ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	cb.Cores = []int{core}
	a, b := open(t, ca), open(t, cb)
	exchange(t, a, b)
	drain(a, b)
	loop, err := dataplane.NewLoop(dataplane.LoopConfig{Name: "reflector", Core: core, Ports: []dataplane.Port{b}}, &reflector{b})
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- loop.Run() }()
	play(t, a, 2000, func() {})
	var where string
	must(t, loop.Inspect(func() { where, err = threadCores() }))
	loop.Stop()
	must(t, <-ended)
	must(t, err)
	if want := fmt.Sprint(core); where != want {
		t.Errorf("the loop's thread may run on %s, want %s", where, want)
	}
}

// threadCores are those that the calling thread may run on.
func threadCores() (string, error) {
	text, err := os.ReadFile("/proc/thread-self/status")
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(list), err
		}
	}
	return "", err
}

// A UMEM in hugepages, of cells of either size, carries frames in zero-copy mode, and its pages are free again afterwards.
func TestHugepages(t *testing.T) {
	na, nb := pair(t)
	before := freeHugepages(t)
	if before == 0 {
		t.Skip("needs hugepages: boot with hugepages=64")
	}
	for _, cell := range []int{afxdp.SmallCell, afxdp.LargeCell} {
		t.Run(fmt.Sprint(cell), func(t *testing.T) {
			waitFor(t, "all hugepages to be free", func() bool { return freeHugepages(t) == before })
			ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
			for _, c := range []*afxdp.Config{&ca, &cb} {
				c.Hugepages, c.CellSize = afxdp.HugepagesOn, cell
			}
			a, b := open(t, ca), open(t, cb)
			for _, p := range []*afxdp.Port{a, b} {
				if i := p.Info(); i.Pages != "huge" || i.Cell != cell {
					t.Fatalf("asked for hugepages and cells of %d: %+v", cell, i)
				}
			}
			taken := before - freeHugepages(t)
			if want := 2 * afxdp.DefaultCells * cell >> 21; taken != want {
				t.Errorf("%d hugepages are taken, want %d", taken, want)
			}
			tellSocket(t, a)
			exchange(t, a, b)
			drain(a, b)
			play(t, a, 2000, func() { reflect(b) })
		})
	}
	waitFor(t, "the hugepages to be free again", func() bool { return freeHugepages(t) == before })
}

// freeHugepages are those of 2 MiB that nobody has taken. What a UMEM takes it takes at once, so that promises (resv_hugepages, which was seen below zero
// for a moment after a close) do not matter.
func freeHugepages(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
	must(t, err)
	n, err = strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	return n
}

// play sends frames of every length from a, a window at a time, until all have come back, whole and in order. meanwhile runs between.
func play(t *testing.T, a *afxdp.Port, total uint64, meanwhile func()) {
	t.Helper()
	const window = 64
	length := func(seq uint64) int { return 12 + int(seq*7919%uint64(a.MTU()-11)) }
	want := make([]byte, a.MTU())
	var frames [window]dataplane.Frame
	sent, back, progress := uint64(0), uint64(0), time.Now()
	for back < total {
		for sent < total && sent-back < window && sendOne(a, sent, length(sent)) {
			sent++
		}
		meanwhile()
		n := a.RxBurst(frames[:])
		for i := range frames[:n] {
			stamp(want[:length(back)], back)
			if err := unstamp(frames[i].Data, want[:length(back)]); err != nil {
				t.Fatalf("after %d of %d frames: %v", back, total, err)
			}
			back++
			progress = time.Now()
		}
		a.Free(frames[:n])
		a.Flush()
		if time.Since(progress) > patience {
			t.Fatalf("%d of %d frames came back, %d were sent, and no more comes: %+v", back, total, sent, a.Counters())
		}
		if n == 0 {
			runtime.Gosched()
		}
	}
}

// reflect sends back what has come, as far as there are cells, and tells how much that was.
func reflect(p dataplane.Port) int {
	var rx, tx [32]dataplane.Frame
	k := p.Alloc(tx[:])
	n := p.RxBurst(rx[:k])
	for i := range n {
		tx[i].Data, tx[i].Peer = append(tx[i].Data, rx[i].Data...), rx[i].Peer
	}
	taken := p.TxBurst(tx[:n])
	p.Free(tx[taken:k])
	p.Free(rx[:n])
	p.Flush()
	return n
}
