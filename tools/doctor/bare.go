package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"wirepaxos/dataplane"
	"wirepaxos/tools/nic"
)

// Where no loop and no interface is named: what the machine has to offer them.

func orNone(cores []int) string { return orWord(dataplane.FormatCores(cores), "none") }

// allCores is about the cores, of which any may be a loop's.
func (e *exam) allCores(isolated, nohz, rcu []int) {
	const what = "isolated cores"
	if len(isolated) == 0 {
		e.yellow(what, "none: the kernel runs other threads wherever loops run",
			"boot with isolcpus=LIST nohz_full=LIST rcu_nocbs=LIST, LIST being the cores for loops, such as "+e.exampleCores())
	} else {
		e.green(what, fmt.Sprintf("%s; without a tick (nohz_full): %s; without RCU callbacks (rcu_nocbs): %s", dataplane.FormatCores(isolated),
			orNone(nohz), orNone(union(nohz, rcu)))) // nohz_full implies rcu_nocbs (Documentation/timers/no_hz.rst)
	}
	e.allSiblings()
	e.allNodes()
	e.allSleepStates()
	e.allGovernors()
}

func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// exampleCores is an example: all cores but the first.
func (e *exam) exampleCores() string {
	if online := e.coreFile(cpuDir + "online"); len(online) > 1 {
		return dataplane.FormatCores(online[1:])
	}
	return "2-3"
}

func (e *exam) allSiblings() {
	const what = "hyper-threads"
	var pairs []string
	for _, path := range e.list(cpuDir + "cpu[0-9]*/topology/thread_siblings_list") {
		if text, _ := e.read(path); len(e.coreFile(path)) > 1 && !slices.Contains(pairs, text) {
			pairs = append(pairs, text)
		}
	}
	if len(pairs) == 0 {
		e.green(what, "none that the kernel knows of: each core is a physical one, or the host decides")
		return
	}
	e.green(what, fmt.Sprintf("%d physical cores have several (%s): leave the other one of a loop's core idle", len(pairs), pairs[0]))
}

func (e *exam) allNodes() {
	var nodes []string
	for _, path := range e.list("/sys/devices/system/node/node[0-9]*/cpulist") {
		list, _ := e.read(path)
		nodes = append(nodes, strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "node")+": cores "+orWord(list, "none"))
	}
	if len(nodes) < 2 {
		e.green("NUMA nodes", "one")
		return
	}
	e.green("NUMA nodes", strings.Join(nodes, "; "))
}

func (e *exam) allSleepStates() {
	const what = "C-states"
	deepest, name := int64(-1), ""
	for _, core := range e.coreFile(cpuDir + "online") {
		if latency, n, _ := e.deepest(core); latency > deepest {
			deepest, name = latency, n
		}
	}
	switch {
	case deepest < 0:
		e.green(what, "none that the kernel knows of: the host decides, if there is one")
	case deepest <= wakeLimitUs:
		e.green(what, fmt.Sprintf("down to %s, which takes %d µs to wake from", name, deepest))
	default:
		e.green(what, fmt.Sprintf("down to %s, which takes %d µs to wake from: roles whose loops sleep want --dma-latency", name, deepest))
	}
}

func (e *exam) allGovernors() {
	const what, pattern = "frequency", cpuDir + "cpu[0-9]*/cpufreq/scaling_governor"
	var other []string
	paths := e.list(pattern)
	for _, path := range paths {
		if governor, _ := e.read(path); governor != "performance" && !slices.Contains(other, governor) {
			other = append(other, governor)
		}
	}
	switch {
	case len(paths) == 0:
		e.green(what, "not the kernel's to choose")
	case len(other) == 0:
		e.green(what, "governor performance")
	default:
		e.yellow(what, fmt.Sprintf("governor %s: cores slow down between bursts", strings.Join(other, ", ")),
			fmt.Sprintf("for f in %s; do echo performance > $f; done", pattern))
	}
}

// candidates are the interfaces that roles could have: hardware that no default route goes over.
func (e *exam) candidates() {
	const what = "NICs"
	all, err := e.from.List()
	if err != nil {
		e.yellow(what, err.Error(), "check that netlink works for this process")
		return
	}
	var free, routed []string
	for i := range all {
		n := &all[i]
		switch {
		case n.Bus == "" || n.Kind != "device":
		case n.DefaultRoute:
			routed = append(routed, n.Name)
		default:
			free = append(free, fmt.Sprintf("%s (%s, %s)", n.Name, orWord(n.Driver, "no driver"), bestMode(n)))
		}
	}
	switch {
	case len(free) > 0:
		e.green(what, strings.Join(free, ", ")+"; more with --interface")
	case len(routed) > 0:
		e.yellow(what, "none but "+strings.Join(routed, ", ")+", by which this machine is reached",
			"add a NIC for roles, or try it without one: wirepaxos demo")
	default:
		e.yellow(what, "none", "add a NIC for roles, or try it without one: wirepaxos demo")
	}
}

// bestMode is what the driver offers.
func bestMode(n *nic.Interface) string {
	switch {
	case n.XDP.ZeroCopy:
		return "zero-copy"
	case n.XDP.Native:
		return "copy mode"
	}
	return "generic XDP"
}
