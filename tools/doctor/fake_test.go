package doctor

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/netdev"
	"wirepaxos/tools/nic"
)

// files are what a machine's kernel tells, by path.
type files map[string]string

// sound is a machine with 8 cores in two nodes, 2 and 3 for loops, where nothing is to be mended.
func sound() files {
	f := files{
		"/proc/sys/kernel/osrelease":           "6.18.44\n",
		"/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
		"/proc/self/status":                    "Name:\tx\nCapEff:\t000001ffffffffff\n",
		"/proc/self/limits":                    "Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         8388608              8388608              bytes\n",
		"/proc/self/mounts":                    "proc /proc proc rw 0 0\nbpf /run/wirepaxos/bpf bpf rw 0 0\n",
		"/proc/filesystems":                    "nodev\tproc\nnodev\tbpf\n",
		"/proc/cmdline":                        "quiet isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3\n",
		"/proc/stat":                           "cpu  1000 0 1000 50000 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
		"/proc/irq/24/smp_affinity_list":       "0-7\n",
		"/proc/irq/24/effective_affinity_list": "1\n",
		"/proc/irq/25/smp_affinity_list":       "0-1,4-7\n",

		"/sys/devices/system/clocksource/clocksource0/current_clocksource":   "tsc\n",
		"/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm \n",
		"/sys/kernel/mm/transparent_hugepage/enabled":                        "always [madvise] never\n",
		"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":             "64\n",
		"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages":           "60\n",
		"/sys/devices/system/cpu/isolated":                                   "2-3\n",
		"/sys/devices/system/cpu/nohz_full":                                  "2-3\n",
		"/sys/devices/system/cpu/online":                                     "0-7\n",
		"/sys/devices/system/cpu/possible":                                   "0-7\n",
		"/sys/devices/system/node/node0/cpulist":                             "0-3\n",
	}
	for _, core := range []string{"2", "3"} {
		dir := "/sys/devices/system/cpu/cpu" + core
		f[dir+"/topology/thread_siblings_list"] = core + "\n"
		f[dir+"/node0/cpulist"] = "0-3\n"
		f[dir+"/cpufreq/scaling_governor"] = "performance\n"
		f[dir+"/cpuidle/state0/name"], f[dir+"/cpuidle/state0/latency"], f[dir+"/cpuidle/state0/disable"] = "POLL\n", "0\n", "0\n"
		f[dir+"/cpuidle/state1/name"], f[dir+"/cpuidle/state1/latency"], f[dir+"/cpuidle/state1/disable"] = "C1\n", "2\n", "0\n"
		f[dir+"/cpuidle/state2/name"], f[dir+"/cpuidle/state2/latency"], f[dir+"/cpuidle/state2/disable"] = "C6\n", "133\n", "1\n"
	}
	return f
}

// machine is a source that tests make up.
type machine struct {
	files  files
	sight  afxdp.Sight
	driver Driver
	taken  []nic.Holder
	others []nic.Interface // of List
	listed error
	tried  []Attempt
	held   error
}

// inDriver is what a driver with native XDP can do.
const inDriver = netdev.Basic | netdev.Redirect

var mac = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func soundMachine() *machine {
	return &machine{
		files:  sound(),
		sight:  afxdp.Sight{Name: "eth1", Index: 3, MTU: 1500, MAC: mac, Queues: 1, Up: true, Carrier: true, State: "up"},
		driver: Driver{Name: "ice", KnowsXDP: true, XDP: inDriver | netdev.XSKZeroCopy, Features: map[string]bool{"rx-gro": true}, Clock: "hardware"},
		others: []nic.Interface{{Name: "eth1", Kind: "device", Bus: "0000:3b:00.0", Driver: "ice"}},
		tried:  []Attempt{{What: "AF_XDP socket"}},
	}
}

func (m *machine) source(t *testing.T) *Source {
	t.Helper()
	root := t.TempDir()
	for path, content := range m.files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Source{
		Root: root,
		Look: func(name string) (*afxdp.Sight, error) {
			if name != m.sight.Name {
				return nil, afxdp.ErrNoInterface
			}
			s := m.sight
			return &s, nil
		},
		Ask:  func(*afxdp.Sight) Driver { return m.driver },
		Held: func(*afxdp.Sight, int) []nic.Holder { return m.taken },
		List: func() ([]nic.Interface, error) { return m.others, m.listed },
		Try:  func() []Attempt { return m.tried },
		Hold: func(string) error { return m.held },
		Exec: func() string { return "/usr/bin/wirepaxos" },
		Ours: func(core int) (bool, string) { return core < 8, "0-7" },
	}
}

// cluster is the need of two loops that share a NIC.
func cluster() *Need {
	return &Need{
		AFXDP: true,
		Loops: []Loop{{Name: "node 1", Core: 2, Interface: "eth1", Spins: true}, {Name: "node 2", Core: 3, Interface: "eth1"}},
		NICs:  []NIC{{Name: "node 1", Interface: "eth1", Mode: "auto", MTU: 1400, MAC: mac, EtherType: 0x88B5, Port: 7471}},
	}
}

// line finds the one line about something.
func (p *Page) line(t *testing.T, what string) Line {
	t.Helper()
	found := Line{Grade: 9}
	for _, l := range p.Lines {
		if l.What == what {
			if found.Grade != 9 && found.Grade >= l.Grade {
				continue
			}
			found = l
		}
	}
	if found.Grade == 9 {
		t.Fatalf("no line about %q in %v", what, p.Lines)
	}
	return found
}

// finding is what a page must say once something about the machine, or the need, is changed.
type finding struct {
	name  string
	wrong func(m *machine, n *Need)
	what  string
	grade Grade
	text  string
	mend  string
}

// hold compares a page with what is wanted: on a sound machine nothing else may be other than green.
func (c *finding) check(t *testing.T) {
	m, n := soundMachine(), cluster()
	c.wrong(m, n)
	page := Examine(n, m.source(t))
	l := page.line(t, c.what)
	if l.Grade != c.grade || !strings.Contains(l.Text, c.text) || !strings.Contains(l.Mend, c.mend) {
		t.Errorf("%v, %v: want %v with %q, mended by %q", l.Grade, l, c.grade, c.text, c.mend)
	}
	for _, l := range page.Lines {
		if l.Grade > Green && l.Mend == "" || l.Grade == Green && l.Mend != "" {
			t.Errorf("%v, mended by %q: %v", l.Grade, l.Mend, l)
		}
		if strings.ContainsAny(l.String(), "\n") {
			t.Errorf("more than a line: %v", l)
		}
		if l.Grade > Green && l.What != c.what {
			t.Errorf("one thing is wrong, and another line is %v: %v", l.Grade, l)
		}
	}
	if page.Worst() != c.grade || page.First() != l && c.grade > Green {
		t.Errorf("worst %v, first %v", page.Worst(), page.First())
	}
}

var errRefused = errors.New("refused")
