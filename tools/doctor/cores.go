package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"wirepaxos/dataplane"
)

const cpuDir = "/sys/devices/system/cpu/"

// cores looks at every core that a loop names, and at what they leave to the others.
func (e *exam) cores() {
	isolated, nohz, rcu := e.coreFile(cpuDir+"isolated"), e.coreFile(cpuDir+"nohz_full"), e.bootCores("rcu_nocbs")
	if e.need.Bare {
		e.allCores(isolated, nohz, rcu)
	}
	named := map[int]string{}
	for _, l := range e.need.Loops {
		if l.Core == NoCore {
			e.unpinned(l)
			continue
		}
		what := fmt.Sprintf("core %d", l.Core)
		if allowed, list := e.from.Ours(l.Core); !allowed {
			e.red(what, fmt.Sprintf("%s may not run there, only on %s", l.Name, list), "name one of those with core = in the cluster file, or --core")
			continue
		}
		if other, twice := named[l.Core]; twice {
			e.yellow(what, fmt.Sprintf("%s and %s share it", other, l.Name), "give each loop a core of its own")
		}
		named[l.Core] = l.Name
		e.isolation(what, l, isolated, nohz, rcu)
		e.siblings(what, l)
		e.node(what, l)
		e.sleepStates(what, l)
		e.governor(what, l)
		e.interrupts(what, l)
	}
	if len(named) > 0 {
		e.rest(named)
	}
	e.requests()
}

// coreFile reads a list of cores, nil where there is none.
func (e *exam) coreFile(path string) []int {
	text, _ := e.read(path)
	cores, _ := dataplane.ParseCores(text) // what is no list ("(null)") names none
	return cores
}

// bootCores reads a list of cores from the kernel's command line.
func (e *exam) bootCores(key string) (cores []int) {
	text, _ := e.read("/proc/cmdline")
	for word := range strings.FieldsSeq(text) {
		if list, ok := strings.CutPrefix(word, key+"="); ok {
			cores, _ = dataplane.ParseCores(list)
			if list == "all" {
				cores = e.coreFile(cpuDir + "possible")
			}
		}
	}
	return cores
}

// unpinned is a loop without a core of its own: that is right where it sleeps.
func (e *exam) unpinned(l Loop) {
	if l.Spins {
		e.yellow(l.Name, "its loop spins without a core of its own: others of the machine wait for it, and it for them",
			"name one with core = in the cluster file, or --core; or let it sleep (idle = \"block\")")
		return
	}
	e.green(l.Name, "no core named: the kernel puts its loop where there is room, and it sleeps when idle")
}

func (e *exam) isolation(what string, l Loop, isolated, nohz, rcu []int) {
	what += " isolation"
	all := dataplane.FormatCores(e.need.cores())
	mend := fmt.Sprintf("boot with isolcpus=%s nohz_full=%s rcu_nocbs=%s", all, all, all)
	var without []string
	for _, k := range []struct {
		key   string
		cores []int
	}{{"nohz_full", nohz}, {"rcu_nocbs", rcu}} {
		// nohz_full implies rcu_nocbs (Documentation/timers/no_hz.rst).
		if !slices.Contains(k.cores, l.Core) && !slices.Contains(nohz, l.Core) {
			without = append(without, k.key)
		}
	}
	switch {
	case !slices.Contains(isolated, l.Core):
		e.yellow(what, "none: the kernel runs other threads there too", mend)
	case len(without) > 0:
		e.yellow(what, "isolated, but interrupted by the kernel's own work: no "+strings.Join(without, ", no "), mend)
	default:
		e.green(what, "isolated, without tick and RCU callbacks")
	}
}

// siblings are the hyper-threads of the same physical core.
func (e *exam) siblings(what string, l Loop) {
	what += " hyper-thread"
	all := e.coreFile(fmt.Sprintf("%scpu%d/topology/thread_siblings_list", cpuDir, l.Core))
	others := slices.DeleteFunc(all, func(c int) bool { return c == l.Core })
	if len(others) == 0 {
		e.green(what, "a physical core of its own")
		return
	}
	e.yellow(what, fmt.Sprintf("it shares the physical core with %s, and what runs there takes half of it", dataplane.FormatCores(others)),
		fmt.Sprintf("echo 0 > %scpu%d/online", cpuDir, others[0]))
}

// node compares the core's memory with the NIC's.
func (e *exam) node(what string, l Loop) {
	what += " NUMA node"
	own := e.list(fmt.Sprintf("%scpu%d/node[0-9]*", cpuDir, l.Core))
	device := -1
	if l.Interface != "" {
		if s := e.look(l.Interface); s.err == nil {
			device = s.driver.Node
		}
	}
	switch {
	case len(own) == 0:
		e.green(what, "the machine has one")
	case device < 0:
		e.green(what, strings.TrimPrefix(filepath.Base(own[0]), "node")+"; no NIC is bound to another")
	case filepath.Base(own[0]) != fmt.Sprintf("node%d", device):
		near, _ := e.read(fmt.Sprintf("/sys/devices/system/node/node%d/cpulist", device))
		e.yellow(what, fmt.Sprintf("%s is on node %d, the core on %s: every packet crosses between them", l.Interface, device,
			strings.TrimPrefix(filepath.Base(own[0]), "node")), "name one of the cores "+near+" with core = in the cluster file, or --core")
	default:
		e.green(what, fmt.Sprintf("%d, as %s", device, l.Interface))
	}
}

// rest is what the loops leave: the kernel, the control sockets and everything else need a core too.
func (e *exam) rest(named map[int]string) {
	online := e.coreFile(cpuDir + "online")
	left := slices.DeleteFunc(slices.Clone(online), func(c int) bool { return named[c] != "" })
	switch {
	case len(online) == 0 || len(left) > 0:
		e.green("other cores", orNone(left)+" for everything but loops")
	case e.need.FIFO:
		e.red("other cores", "none: loops under SCHED_FIFO on every core lock the machine out", "leave one core to everything else, or run without --fifo")
	default:
		e.yellow("other cores", "none: interrupts, control sockets and everything else run on the cores of loops", "leave one core to everything else")
	}
}
