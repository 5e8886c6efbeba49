package dataplane

import (
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCoreLists(t *testing.T) {
	for _, c := range []struct {
		list  string
		cores []int
	}{
		{"", nil}, {"0", []int{0}}, {"0-2,5", []int{0, 1, 2, 5}}, {"3,7-8", []int{3, 7, 8}},
	} {
		got, err := ParseCores(c.list)
		if err != nil || !reflect.DeepEqual(got, c.cores) {
			t.Errorf("%q: %v, %v", c.list, got, err)
		}
		if text := FormatCores(c.cores); text != c.list {
			t.Errorf("%v is written %q, want %q", c.cores, text, c.list)
		}
	}
	for _, list := range []string{"x", "1-", "-1", "3-2", "0-99999", "1,,2", "0-1-2"} {
		if got, err := ParseCores(list); err == nil {
			t.Errorf("%q was read as %v", list, got)
		}
	}
}

func TestCores(t *testing.T) {
	cores, err := Cores()
	if err != nil {
		t.Fatal(err)
	}
	if len(cores.Allowed) == 0 {
		t.Fatal("no core is allowed")
	}
	for _, core := range cores.Isolated {
		if checkCore(core) != nil {
			t.Errorf("core %d is isolated and not allowed", core)
		}
	}
	cores.Allowed[0] = -7
	if again, _ := Cores(); again.Allowed[0] == -7 {
		t.Error("the caller's copy is not his own")
	}
}

// isolcpus takes cores out of the affinity that a process begins with; a loop can be pinned there all the same.
func TestIsolatedCoresAreForLoops(t *testing.T) {
	set := CoreSet{Allowed: []int{0, 2}}
	set.addIsolated([]int{1, 2, 3}, func(core int) bool { return core != 3 })
	if want := (CoreSet{Allowed: []int{0, 1, 2}, Isolated: []int{1, 2}}); !reflect.DeepEqual(set, want) {
		t.Errorf("%+v, want %+v", set, want)
	}
	var before, after unix.CPUSet
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if !mayHave(coresAtStart.Allowed[0], &before) {
		t.Error("a core of our own is refused")
	}
	if mayHave(maxCores-1, &before) {
		t.Error("a core that does not exist can be had")
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("trying left the thread on other cores (%v)", err)
	}
}

func TestEveryLoopHasAProcAndOthersOneMore(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	held := int(procsHeld.Load())
	holdProc()
	holdProc()
	if got := runtime.GOMAXPROCS(0); got != held+3 {
		t.Errorf("two more loops: GOMAXPROCS is %d, want %d", got, held+3)
	}
	if !spareProc() {
		t.Error("no P to spare")
	}
	runtime.GOMAXPROCS(held + 2)
	if spareProc() {
		t.Error("a P to spare though the loops hold all")
	}
	releaseProc()
	releaseProc()
	if got := int(procsHeld.Load()); got != held {
		t.Errorf("%d held, want %d", got, held)
	}
}
