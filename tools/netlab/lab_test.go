package netlab

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestUpDownLeavesNothing(t *testing.T) {
	needLab(t)
	for name, spec := range map[string]Spec{
		"direct": {Hosts: hostsNamed("a", "b")},
		"switch": {Hosts: hostsNamed("a", "b", "c")},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Name = nameFor(t)
			var programs []ebpf.ProgramID
			round := func() {
				lab, err := Up(within(t), spec)
				if err != nil {
					t.Fatal(err)
				}
				programs = switchPrograms(t, lab)
				kept := keepNamespaces(t, lab)
				if _, err := lab.Start("a", sleeper()); err != nil {
					t.Error(err)
				}
				if err := lab.Down(); err != nil {
					t.Error(err)
				}
				for _, fd := range kept {
					if links := linksIn(t, fd); len(links) != 1 || links[0] != "lo" {
						t.Errorf("links left at once after down: %v", links)
					}
					_ = unix.Close(fd)
				}
			}
			round() // what the runtime opens once is open now
			files := openFiles(t)
			round()
			if left := leftovers(t, spec.Name); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if now := openFiles(t); now > files {
				t.Errorf("%d files open, %d before", now, files)
			}
			if (len(programs) == 0) != (name == "direct") {
				t.Errorf("programs %v", programs)
			}
			for _, id := range programs {
				eventually(t, "the programs are unloaded", func() bool { return !loaded(id) })
			}
			if _, err := os.Stat(namespacePath("wp-" + spec.Name + "-a")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("namespace: %v", err)
			}
		})
	}
}

// keepNamespaces opens all namespaces of a lab, so that they, and what is in them, outlive their names.
func keepNamespaces(t *testing.T, lab *Lab) (fds []int) {
	t.Helper()
	s, err := readState(lab.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.namespaces() {
		fd, err := unix.Open(namespacePath(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds
}

func linksIn(t *testing.T, namespace int) (names []string) {
	t.Helper()
	err := onThread(func() error { return unix.Setns(namespace, unix.CLONE_NEWNET) }, func() error {
		links, err := netlink.LinkList()
		for _, link := range links {
			if link.Type() != "ipip" && link.Type() != "sit" && link.Type() != "gre" { // some kernels put these into every namespace
				names = append(names, link.Attrs().Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Nothing is left to hardware on any end, and links that do not carry are waited for.
func TestLinks(t *testing.T) {
	for name, force := range map[string]bool{"direct": false, "switch": true} {
		t.Run(name, func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b"), ForceSwitch: force, MTU: 1400})
			check := func(end string, gro bool) error {
				features, err := ethtool.NewEthtool()
				if err != nil {
					return err
				}
				defer features.Close()
				on, err := features.Features(end)
				for feature, set := range on {
					offload := strings.HasPrefix(feature, "tx-checksum") || strings.HasSuffix(feature, "segmentation") ||
						strings.HasSuffix(feature, "insert")
					if set && offload || feature == "rx-gro" && set != gro {
						t.Errorf("%s: %s is %v", end, feature, set)
					}
				}
				link, linkErr := netlink.LinkByName(end)
				if linkErr == nil && link.Attrs().MTU != 1400 {
					t.Errorf("%s: MTU %d", end, link.Attrs().MTU)
				}
				return errors.Join(err, linkErr)
			}
			if err := lab.Do("a", func() error { return check(Interface, force) }); err != nil {
				t.Error(err)
			}
			if force {
				err := inNamespace(namespaceOf(lab.Name(), switchName), func() error { return check(endName(0), false) })
				if err != nil {
					t.Error(err)
				}
			}
			err := lab.Do("a", func() error {
				link, err := netlink.LinkByName(Interface)
				if err == nil {
					err = netlink.LinkSetDown(link)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), quiet)
			defer cancel()
			err = lab.Do("b", func() error { return waitUp(ctx, Interface) })
			if !force && !errors.Is(err, context.DeadlineExceeded) { // behind the switch b's own link still carries
				t.Errorf("a link that does not carry: %v", err)
			}
		})
	}
}

func TestDirectOrSwitch(t *testing.T) {
	cases := map[string]struct {
		spec   Spec
		direct bool
	}{
		"two hosts":   {Spec{Hosts: hostsNamed("a", "b")}, true},
		"three hosts": {Spec{Hosts: hostsNamed("a", "b", "c")}, false},
		"forced":      {Spec{Hosts: hostsNamed("a", "b"), ForceSwitch: true}, false},
		"faults":      {Spec{Hosts: hostsNamed("a", "b"), Faults: Faults{DropPPM: 1}}, false},
		"two queues":  {Spec{Hosts: []HostSpec{{Name: "a", Queues: 2}, {Name: "b"}}}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			lab := up(t, c.spec)
			if lab.Direct() != c.direct {
				t.Fatalf("direct = %v, want %v", lab.Direct(), c.direct)
			}
			if _, err := os.Stat(namespacePath(namespaceOf(lab.Name(), switchName))); (err == nil) == c.direct {
				t.Errorf("namespace of the switch: %v", err)
			}
			if _, err := lab.Counters(); errors.Is(err, ErrNoSwitch) != c.direct {
				t.Errorf("counters: %v", err)
			}
			if err := lab.Cut("a", "b"); errors.Is(err, ErrNoSwitch) != c.direct {
				t.Errorf("cut: %v", err)
			}
		})
	}
}

// Every link must carry when Up returns: the very first frame arrives.
func TestFirstFrameArrives(t *testing.T) {
	for name, force := range map[string]bool{"direct": false, "switch": true} {
		t.Run(name, func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b"), ForceSwitch: force})
			a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest)
			a.send(a.frameTo(b.host.MAC, 1))
			if b.receive(testBound) == nil {
				t.Fatal("it did not")
			}
		})
	}
}

func TestTwoLabsSideBySide(t *testing.T) {
	one := up(t, Spec{Name: nameFor(t) + "1", Hosts: hostsNamed("a", "b", "c")})
	two := up(t, Spec{Name: nameFor(t) + "2", Hosts: hostsNamed("a", "b", "c")})
	a1, b1 := plug(t, one, "a", etherTypeTest), plug(t, one, "b", etherTypeTest)
	a2, b2 := plug(t, two, "a", etherTypeTest), plug(t, two, "b", etherTypeTest)
	a1.send(a1.frameTo(b1.host.MAC, 1))
	a2.send(a2.frameTo(b2.host.MAC, 2))
	settle(t, a1, a2)
	if got := b1.count(1); len(got) != 1 || got[1] != 1 {
		t.Errorf("the first lab got %v", got)
	}
	if got := b2.count(1); len(got) != 1 || got[2] != 1 {
		t.Errorf("the second lab got %v", got)
	}
	if err := one.Down(); err != nil {
		t.Fatal(err)
	}
	a2.send(a2.frameTo(b2.host.MAC, 3))
	if got := b2.count(1); got[3] != 1 {
		t.Errorf("the second lab got %v after the first was down", got)
	}
}

func TestNameOfLivingLabIsRefused(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b")})
	if _, err := Up(within(t), Spec{Name: lab.Name(), Hosts: hostsNamed("x", "y")}); !errors.Is(err, ErrRunning) {
		t.Fatalf("got %v", err)
	}
	if _, err := lab.Output(within(t), "a", "true"); err != nil {
		t.Errorf("the lab that runs was hurt: %v", err)
	}
}

func TestForeignNamespaceIsRefusedAndKept(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	foreign := namespaceOf(name, "b")
	if err := errors.Join(prepareNamespaceDir(), addNamespace(foreign)); err != nil {
		t.Fatal(err)
	}
	_, err := Up(within(t), Spec{Name: name, Hosts: hostsNamed("a", "b")})
	if err == nil || !strings.Contains(err.Error(), "ip netns del "+foreign) {
		t.Errorf("got %v", err)
	}
	if err := inNamespace(foreign, func() error { return nil }); err != nil {
		t.Errorf("it was hurt: %v", err)
	}
	if err := removeNamespace(foreign); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFailureInTheMiddleLeavesNothing(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("no more")
	cancel(reason) // Up asks after it made its first namespace
	if _, err := Up(ctx, Spec{Name: name, Hosts: hostsNamed("a", "b", "c")}); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPanicLeavesNothing(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	func() {
		defer func() { _ = recover() }()
		lab, err := Up(within(t), Spec{Name: name, Hosts: hostsNamed("a", "b", "c")})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = lab.Down() }()
		panic("the owner's")
	}()
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCancelTakesDown(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	needLab(t)
	lab, err := Up(ctx, Spec{Name: nameFor(t), Hosts: hostsNamed("a", "b", "c")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := lab.Start("a", sleeper())
	if err != nil {
		t.Error(err)
	}
	cancel()
	eventually(t, "nothing is left", func() bool { return len(leftovers(t, lab.Name())) == 0 })
	if err := lab.Down(); err != nil {
		t.Error(err)
	}
	<-p.Done()
	if _, err := lab.Start("a", sleeper()); err == nil {
		t.Error("a program was started in a lab that is down")
	}
	if _, err := lab.Counters(); !errors.Is(err, errClosed) {
		t.Errorf("counters: %v", err)
	}
}

func TestDetachOpenServe(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	if err := Serve(within(t), lab.Name()); err == nil || !strings.Contains(err.Error(), "its owner serves") {
		t.Errorf("serve beside the owner: %v", err)
	}
	if err := lab.Detach(); err != nil {
		t.Fatal(err)
	}
	if phase := phaseOf(t, lab.Name()); phase != PhaseDetached {
		t.Errorf("phase %q", phase)
	}
	other, err := Open(lab.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	a, b := plug(t, other, "a", etherTypeTest), plug(t, other, "b", etherTypeTest)
	a.send(a.frameTo(b.host.MAC, 1))
	if got := b.count(1); got[1] != 1 {
		t.Errorf("without an owner got %v", got)
	}
	slow := Faults{DelayPPM: million, Delay: 1}
	if err := other.SetFaults(slow); err == nil || !strings.Contains(err.Error(), "lab serve") {
		t.Errorf("delays without a server: %v", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, lab.Name()) }()
	eventually(t, "the delays are served", func() bool { return other.SetFaults(slow) == nil })
	a.send(a.frameTo(b.host.MAC, 2))
	if b.receive(testBound) == nil {
		t.Error("the delayed frame did not arrive")
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := lab.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if phase := phaseOf(t, lab.Name()); phase != PhaseDetached {
		t.Errorf("after close the phase is %q", phase)
	}
	if err := Down(lab.Name()); err != nil {
		t.Errorf("down: %v", err)
	}
	if _, err := unix.Write(a.fd, a.frameTo(b.host.MAC, 3)); err == nil {
		t.Error("the interface is still there")
	}
}
