package main

import (
	"fmt"

	"wirepaxos/tools/vmlab/script"
)

// stepTimeS is the longest time for a step: many times what it takes on an idle machine.
const stepTimeS = 120

// allSteps is what the guest does.
func allSteps() []script.Step {
	test := func(nics, name, title, pattern string, env ...string) script.Step {
		return script.Step{
			Name: name, Title: title, TimeoutS: stepTimeS,
			Commands: [][]string{{"/bin/nictest", "-test.v", "-test.failfast", "-test.run", "^(" + pattern + ")$",
				"-test.timeout", fmt.Sprintf("%ds", stepTimeS-5)}},
			Env: append([]string{"WIREPAXOS_NICS=" + nics}, env...),
		}
	}
	const wire, hub, pair = "wire0,wire1", "hub0,hub1", "pair0,pair1"
	const plain = "WIREPAXOS_PLAIN_NICS=plain0=iommu_platform+queue_reset,unmapped0=iommu_platform,noreset0=queue_reset"
	const program = "WIREPAXOS_PROGRAM=/bin/wirepaxos"
	steps := []script.Step{
		test(wire, "conformance", "the conformance suite of all ports, on zero-copy sockets", "TestConformance"),
		test(wire, "echo", "20,000 frames of every length through the host's wire and back, none lost", "TestEcho"),
		test(hub, "rate", "frames a second, copy and zero-copy in turn", "TestRate"),
	}
	for i, r := range clusterRuns() {
		steps = append(steps, r.step(i))
	}
	queues := test(pair, "queues", "64 UDP flows on the two queues of one NIC, none lost; and a queue taken away", "TestQueues|TestNICQueues",
		program)
	queues.Taps = true
	return append(steps,
		test(hub, "hugepages", "the UMEM in hugepages, cells of both sizes", "TestHugepages"),
		test(hub, "pinned", "a loop on the isolated core", "TestPinned"),
		test(hub, "busypoll", "busy-polled zero-copy sockets lose nothing, also where the driver stalls", "TestBusyPoll", program),
		queues,
		test(wire, "queue", "a queue that does not exist is refused", "TestQueueThatDoesNotExist"),
		test(wire, "plain", "a NIC without zero-copy: refused with what is missing, or copy and told so", "TestPlainNIC", plain),
		test(hub, "reopen", "a queue comes back after its socket is closed, in both modes", "TestReopen"),
		test(hub, "life", "a NIC that is set down and up, and one that is taken from its driver, under zero-copy sockets", "TestLinkDown|TestUnplugged"),
		test(hub, "tools", "wirepaxos doctor, and nic list, tune, steer and restore", "TestDoctor|TestNICList|TestNICTune", program, plain),
	)
}
