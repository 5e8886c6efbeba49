package doctor

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"wirepaxos/tools/nic"
)

// write changes one file of a machine, or takes it away.
func write(path, content string) func(*machine, *Need) {
	return func(m *machine, _ *Need) { m.files[path] = content }
}

func remove(path string) func(*machine, *Need) {
	return func(m *machine, _ *Need) { delete(m.files, path) }
}

func driver(change func(d *Driver)) func(*machine, *Need) {
	return func(m *machine, _ *Need) { change(&m.driver) }
}

// without takes capabilities away: the mask of those that are left.
func without(mask string) func(*machine, *Need) {
	return write("/proc/self/status", "CapEff:\t"+mask+"\n")
}

const (
	cpu2  = "/sys/devices/system/cpu/cpu2"
	clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
)

var findings = []finding{
	{"all is sound", func(*machine, *Need) {}, "kernel", Green, "6.18.44", ""},

	{"old kernel", write("/proc/sys/kernel/osrelease", "5.10.0-9\n"), "kernel", Yellow, "5.10", "5.18"},
	{"kernel without AF_XDP", write("/proc/sys/kernel/osrelease", "4.19.0\n"), "kernel", Red, "4.19.0", "5.18"},
	{"no /proc", remove("/proc/sys/kernel/osrelease"), "kernel", Yellow, "", "mount"},

	{"no CAP_NET_RAW", without("000001ffffffdfff"), "CAP_NET_RAW", Red, "AF_XDP", "setcap"},
	{"no CAP_NET_ADMIN", without("000001ffffffefff"), "CAP_NET_ADMIN", Red, "XDP", "cap_net_admin"},
	{"no CAP_BPF, but CAP_SYS_ADMIN", without("0000017fffffffff"), "capabilities", Green, "CAP_BPF", ""},
	{"no CAP_IPC_LOCK, not needed", without("000001ffffffbfff"), "capabilities", Green, "CAP_NET_RAW", ""},
	{"no CAP_SYS_NICE, needed", func(m *machine, n *Need) {
		n.FIFO = true
		without("000001ffff7fffff")(m, n)
	}, "CAP_SYS_NICE", Red, "SCHED_FIFO", "cap_sys_nice"},
	{"a second queue of a NIC without CAP_SYS_ADMIN", func(m *machine, n *Need) {
		n.NICs = append(n.NICs, n.NICs[0])
		without("000001ffffdfffff")(m, n)
	}, "CAP_SYS_ADMIN", Yellow, "joining", "setcap"},
	{"a trial that fails", func(m *machine, _ *Need) { m.tried[0].Err, m.tried[0].Mend = errRefused, "mend it" }, "AF_XDP socket", Red, "refused", "mend it"},
	{"no bpffs at all", func(m *machine, n *Need) {
		write("/proc/self/mounts", "")(m, n)
		write("/proc/filesystems", "nodev\tproc\n")(m, n)
	}, "bpffs", Yellow, "pinned", "CONFIG_BPF_SYSCALL"},
	{"bpffs not mounted", write("/proc/self/mounts", ""), "bpffs", Green, "not mounted", ""},

	{"little locked memory", func(m *machine, n *Need) {
		without("000001ffffffbfff")(m, n)
		write("/proc/self/limits", "Max locked memory         65536                65536                bytes\n")(m, n)
	}, "locked memory", Red, "64 KiB", "ulimit -l unlimited"},
	{"locked memory for one queue of two", func(m *machine, n *Need) {
		n.NICs = append(n.NICs, n.NICs[0])
		without("000001ffffffbfff")(m, n)
	}, "locked memory", Red, "8192 KiB may be locked, and the UMEM takes 16384", "ulimit"},
	{"locked memory without a limit", func(m *machine, n *Need) {
		without("000001ffffffbfff")(m, n)
		write("/proc/self/limits", "Max locked memory         unlimited            unlimited            bytes\n")(m, n)
	}, "locked memory", Green, "any amount", ""},
	{"no hugepages for the rings", write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n"), "transparent hugepages", Yellow, "off",
		"echo madvise >"},
	{"a kernel without them", remove("/sys/kernel/mm/transparent_hugepage/enabled"), "transparent hugepages", Yellow, "none", "CONFIG"},
	{"hugepages wanted, and there", func(_ *machine, n *Need) { n.HugePages = true }, "hugepages", Green, "takes 4", ""},
	{"hugepages wanted, for large cells", func(_ *machine, n *Need) { n.HugePages, n.Cell = true, 4096 }, "hugepages", Green, "takes 8", ""},
	{"hugepages wanted, and taken", func(m *machine, n *Need) {
		n.HugePages = true
		write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n")(m, n)
	}, "hugepages", Red, "64 of 2 MiB, 3 free; the UMEM takes 4", "echo 65 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"},
	{"hugepages wanted, and no such thing", func(m *machine, n *Need) {
		n.HugePages = true
		remove("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")(m, n)
	}, "hugepages", Red, "none of 2 MiB", "CONFIG_HUGETLBFS"},
	{"reserved hugepages", func(*machine, *Need) {}, "hugepages", Green, "64 of 2 MiB, 60 free", ""},

	{"a slow clock", write(clock, "hpet\n"), "clock source", Yellow, "hpet", "echo tsc >"},
	{"a clock without tsc", func(m *machine, n *Need) {
		write(clock, "acpi_pm\n")(m, n)
		write("/sys/devices/system/clocksource/clocksource0/available_clocksource", "acpi_pm\n")(m, n)
	}, "clock source", Yellow, "acpi_pm", "tsc=reliable"},
	{"steal", write("/proc/stat", "cpu  1000 0 900 50000 0 0 0 100 0 0\n"), "steal", Yellow, "5.00 %", "CPUs of your own"},

	{"a core that may not be used", func(_ *machine, n *Need) { n.Loops[0].Core = 9 }, "core 9", Red, "0-7", "--core"},
	{"two loops on one core", func(_ *machine, n *Need) { n.Loops[1].Core = 2 }, "core 2", Yellow, "node 1 and node 2", "a core of its own"},
	{"not isolated", write("/sys/devices/system/cpu/isolated", "3\n"), "core 2 isolation", Yellow, "none", "isolcpus=2-3 "},
	{"with a tick", func(m *machine, n *Need) {
		write("/sys/devices/system/cpu/nohz_full", "3\n")(m, n)
	}, "core 2 isolation", Yellow, "no nohz_full", "nohz_full=2"},
	{"hyper-thread", write(cpu2+"/topology/thread_siblings_list", "2,6\n"), "core 2 hyper-thread", Yellow, "with 6", "cpu6/online"},
	{"the NIC's node", driver(func(d *Driver) { d.Node = 0 }), "core 2 NUMA node", Green, "as eth1", ""},
	{"a NIC without a node", driver(func(d *Driver) { d.Node = -1 }), "core 2 NUMA node", Green, "no NIC is bound to another", ""},
	{"a deep sleep state", func(m *machine, n *Need) {
		n.Loops[0].Spins = false
		write(cpu2+"/cpuidle/state2/disable", "0\n")(m, n)
	}, "core 2 C-states", Yellow, "C6", "--dma-latency"},
	{"a deep sleep state, held off", func(m *machine, n *Need) {
		n.Loops[0].Spins, n.DMALatency = false, true
		write(cpu2+"/cpuidle/state2/disable", "0\n")(m, n)
	}, "core 2 C-states", Green, "held", ""},
	{"a deep sleep state, held off by another", func(m *machine, n *Need) {
		n.Loops[0].Spins = false
		write(cpu2+"/cpuidle/state2/disable", "0\n")(m, n)
		write("/dev/cpu_dma_latency", "\x05\x00\x00\x00")(m, n)
	}, "core 2 C-states", Green, "at 5 µs", ""},
	{"a governor that saves power", write(cpu2+"/cpufreq/scaling_governor", "powersave\n"), "core 2 frequency", Yellow, "powersave", "echo performance >"},
	{"an interrupt of a device", write("/proc/irq/24/effective_affinity_list", "2\n"), "core 2 interrupts", Yellow, "24", "echo 0-1,4-7 > /proc/irq/$i/"},
	{"an interrupt of a device, and who moves it", func(m *machine, n *Need) {
		write("/proc/irq/24/effective_affinity_list", "2\n")(m, n)
		write("/proc/77/comm", "irqbalance\n")(m, n)
	}, "core 2 interrupts", Yellow, "24", "systemctl stop irqbalance"},
	{"no core for the rest", write("/sys/devices/system/cpu/online", "2-3\n"), "other cores", Yellow, "none", "leave one core"},
	{"no core for the rest, and real-time loops", func(m *machine, n *Need) {
		n.FIFO = true
		write("/sys/devices/system/cpu/online", "2-3\n")(m, n)
	}, "other cores", Red, "SCHED_FIFO", "--fifo"},
	{"real-time without a share for others", func(m *machine, n *Need) {
		n.FIFO = true
		write("/proc/sys/kernel/sched_rt_runtime_us", "-1\n")(m, n)
	}, "real-time share", Red, "for ever", "sched_rt_runtime_us=950000"},
	{"real-time with the whole period", func(m *machine, n *Need) {
		n.FIFO = true
		write("/proc/sys/kernel/sched_rt_period_us", "950000\n")(m, n)
	}, "real-time share", Red, "for ever", "sched_rt_runtime_us=950000"},
	{"a loop that spins anywhere", func(_ *machine, n *Need) { n.Loops[0].Core = NoCore }, "node 1", Yellow, "spins", "--core"},
	{"a loop that sleeps anywhere", func(_ *machine, n *Need) { n.Loops[1].Core = NoCore }, "node 2", Green, "sleeps", ""},
	{"a device that may not be held", func(m *machine, n *Need) { n.DMALatency, m.held = true, errRefused }, "cpu_dma_latency", Red, "refused", "chmod"},
}

func TestFindings(t *testing.T) {
	for _, c := range findings {
		t.Run(c.name, c.check)
	}
}

// A NIC of another node than the core: both of its loops are told, each for its core.
func TestOtherNode(t *testing.T) {
	m := soundMachine()
	m.driver.Node = 1
	m.files["/sys/devices/system/node/node1/cpulist"] = "4-7\n"
	page := Examine(cluster(), m.source(t))
	for _, what := range []string{"core 2 NUMA node", "core 3 NUMA node"} {
		if l := page.line(t, what); l.Grade != Yellow || !strings.Contains(l.Mend, "4-7") {
			t.Errorf("%v, %v", l.Grade, l)
		}
	}
	if page.Count(Yellow) != 2 {
		t.Errorf("%d yellow lines: %v", page.Count(Yellow), page.Lines)
	}
}

func TestBareMachine(t *testing.T) {
	m := soundMachine()
	if page := Examine(&Need{Bare: true}, m.source(t)); page.Worst() != Green {
		t.Errorf("%v: %v", page.Worst(), page.First())
	} else if l := page.line(t, "isolated cores"); !strings.Contains(l.Text, "2-3") {
		t.Errorf("%v", l)
	}
}

// Without a cluster file the page is about what the machine has to offer: one thing is changed, and one line.
func TestBareFindings(t *testing.T) {
	others := func(all ...nic.Interface) func(*machine, *Need) { return func(m *machine, _ *Need) { m.others = all } }
	for _, c := range []finding{
		{"nothing isolated", write("/sys/devices/system/cpu/isolated", "\n"), "isolated cores", Yellow, "none", "such as 1-7"},
		{"isolated, and without a tick", func(m *machine, n *Need) {
			write("/proc/cmdline", "isolcpus=2-3 nohz_full=2-3\n")(m, n)
		}, "isolated cores", Green, "rcu_nocbs): 2-3", ""},
		{"hyper-threads", func(m *machine, n *Need) {
			write(cpu2+"/topology/thread_siblings_list", "2-3\n")(m, n)
			write("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "2-3\n")(m, n)
		}, "hyper-threads", Green, "1 physical cores have several (2-3)", ""},
		{"two nodes", write("/sys/devices/system/node/node1/cpulist", "4-7\n"), "NUMA nodes", Green, "0: cores 0-3; 1: cores 4-7", ""},
		{"a deep sleep state", write(cpu2+"/cpuidle/state2/disable", "0\n"), "C-states", Green, "C6, which takes 133", ""},
		{"a governor that saves power", write(cpu2+"/cpufreq/scaling_governor", "powersave\n"), "frequency", Yellow, "powersave", "echo performance > $f"},
		{"no NIC", others(nic.Interface{Name: "veth0", Kind: "veth"}), "NICs", Yellow, "none", "wirepaxos demo"},
		{"one NIC, with the route", others(nic.Interface{Name: "eth0", Kind: "device", Bus: "0000:00:03.0", DefaultRoute: true}), "NICs", Yellow, "none but eth0", "demo"},
		{"two NICs", others(nic.Interface{Name: "eth0", Kind: "device", Bus: "0000:00:03.0", DefaultRoute: true},
			nic.Interface{Name: "eth1", Kind: "device", Bus: "0000:00:04.0", Driver: "ice", XDP: nic.XDP{Native: true, ZeroCopy: true}}), "NICs", Green, "eth1 (ice, zero-copy)", ""},
		{"NICs that cannot be listed", func(m *machine, _ *Need) { m.listed = errRefused }, "NICs", Yellow, "refused", "netlink"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := c.wrong
			c.wrong = func(m *machine, n *Need) {
				*n = Need{Bare: true}
				inner(m, n)
			}
			c.check(t)
		})
	}
}

// Two queues of one interface have most lines in common, and each line is told once.
func TestSharedNICIsToldOnce(t *testing.T) {
	m, n := soundMachine(), cluster()
	other := n.NICs[0]
	other.Name, other.Queue = "node 2", 1
	n.NICs = append(n.NICs, other)
	m.sight.Queues = 2
	told := map[string]int{}
	for _, l := range Examine(n, m.source(t)).Lines {
		told[l.What]++
	}
	if told["eth1 queue"] != 2 || told["eth1 link"] != 1 || told["eth1 mode"] != 1 || told["kernel"] != 1 {
		t.Errorf("%v", told)
	}
}

// A machine of which nothing can be read is told of, and nothing breaks.
func TestEmptyMachine(t *testing.T) {
	m := &machine{}
	need := cluster()
	need.FIFO, need.DMALatency, need.LockMemory = true, true, true
	page := Examine(need, m.source(t))
	for _, l := range page.Lines {
		if l.Grade > Green && l.Mend == "" {
			t.Errorf("nothing mends %v", l)
		}
	}
	if l := page.line(t, "eth1"); l.Grade != Red || !strings.Contains(l.Mend, "nic list") {
		t.Errorf("%v, %v", l.Grade, l)
	}
}

// What does not matter to sockets of the kernel is not held against them.
func TestWithoutAFXDP(t *testing.T) {
	m := soundMachine()
	m.files["/proc/self/status"] = "CapEff:\t0000000000000000\n"
	m.files["/proc/self/limits"] = "Max locked memory         65536                65536                bytes\n"
	m.files["/proc/stat"] = "cpu  1000 0 900 50000 0 0 0 100 0 0\n"
	page := Examine(&Need{Loops: []Loop{{Name: "node 1", Core: NoCore}}}, m.source(t))
	if page.Worst() != Green {
		t.Errorf("%v: %v", page.Worst(), page.First())
	}
}

func TestPageText(t *testing.T) {
	p := &Page{Lines: []Line{{Grade: Green, What: "kernel", Text: "6.18"}, {Grade: Yellow, What: "steal", Text: "5 %", Mend: "ask"}, {Grade: Red, What: "eth1 link",
		Text: "it is down", Mend: "ip link set dev eth1 up"}}}
	var plainText, coloured bytes.Buffer
	if err := p.Write(&plainText, false); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(&coloured, true); err != nil {
		t.Fatal(err)
	}
	want := `green   kernel     6.18
yellow  steal      5 %
     -> ask
red     eth1 link  it is down
     -> ip link set dev eth1 up
1 red, 1 yellow, 1 green: what is red keeps a role from starting, or from hearing anything
`
	if plainText.String() != want {
		t.Errorf("got\n%s\nwant\n%s", plainText.String(), want)
	}
	if c := coloured.String(); strings.Contains(want, "\x1b") || !strings.Contains(c, "\x1b[31mred   \x1b[0m") || strings.Count(c, "\x1b[") != 6 {
		t.Errorf("%q", c)
	}
	text, err := json.Marshal(p.Lines[1])
	if err != nil || string(text) != `{"grade":"yellow","what":"steal","text":"5 %","mend":"ask"}` {
		t.Errorf("%s, %v", text, err)
	}
	p.Harden()
	if p.Count(Red) != 2 || p.Count(Yellow) != 0 || p.First().What != "steal" {
		t.Errorf("hardened: %v", p.Lines)
	}
}
