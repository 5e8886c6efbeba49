package doctor

import (
	"fmt"
	"slices"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/tools/nic"
)

// rule is what would steer the packets of a NIC's loop.
func (n *NIC) rule() *nic.Rule {
	r := &nic.Rule{VLAN: uint16(n.VLAN), Queue: n.Queue}
	if n.UDP {
		r.UDPPort, r.IP = n.Port, n.IP
	} else {
		r.EtherType = n.EtherType
	}
	return r
}

// steer is the command that makes a rule.
func steer(n *NIC) string {
	r := n.rule()
	text := fmt.Sprintf("wirepaxos nic steer %s --ethertype 0x%04X", n.Interface, r.EtherType)
	if n.UDP {
		text = fmt.Sprintf("wirepaxos nic steer %s --udp-port %d", n.Interface, r.UDPPort)
	}
	if r.VLAN != 0 {
		text += fmt.Sprintf(" --vlan %d", r.VLAN)
	}
	return fmt.Sprintf("%s --queue %d", text, r.Queue)
}

// steering is about which queue our packets come in on.
func (e *exam) steering(n NIC, s *afxdp.Sight, d *Driver) {
	what := n.Interface + " steering"
	if n.Queue == NoQueue {
		if s.Queues <= 1 {
			e.green(what, "one queue, where everything arrives")
		} else {
			e.green(what, fmt.Sprintf("%d queues; which of them a role needs, its cluster file says", s.Queues))
		}
		return
	}
	if e.rules(what, &n, d) {
		return
	}
	if s.Queues <= 1 {
		e.green(what, "one queue, where everything arrives")
		return
	}
	mend := steer(&n)
	switch shared := e.need.sharesNIC(); {
	case shared && !n.UDP:
		mend = "link = \"udp4\" in the cluster file, and a port = for each node: a NIC does not tell raw frames for one MAC apart"
	case !shared && n.Queue == 0:
		mend += fmt.Sprintf(", or leave it one queue: wirepaxos nic tune %s --queues 1", n.Interface)
	}
	here := 0
	for _, queue := range d.RSS {
		if int(queue) == n.Queue {
			here++
		}
	}
	switch {
	case len(d.RSS) > 0 && here == len(d.RSS):
		e.green(what, fmt.Sprintf("everything arrives on queue %d", n.Queue))
	case n.UDP && len(d.RSS) > 0 && here == 0:
		e.red(what, fmt.Sprintf("the NIC spreads UDP over other queues than %d: %s hears nobody", n.Queue, n.Name), mend)
	case !n.UDP && n.Queue == 0:
		e.yellow(what, fmt.Sprintf("%d queues: most NICs deliver raw Ethernet frames on queue 0, not all", s.Queues), mend)
	case n.UDP:
		e.yellow(what, fmt.Sprintf("%d queues: the NIC spreads UDP over them by addresses and ports, and only queue %d is bound", s.Queues, n.Queue), mend)
	default:
		e.yellow(what, fmt.Sprintf("%d queues: frames arrive on queue %d only if they are steered there", s.Queues, n.Queue), mend)
	}
}

// rules tells whether ntuple rules say where the packets go: they come before everything else that spreads packets.
func (e *exam) rules(what string, n *NIC, d *Driver) bool {
	ours := n.rule()
	var right, wrong []nic.PlacedRule
	for _, r := range d.Rules {
		switch {
		case !r.Rule.Takes(ours):
		case r.Queue == n.Queue:
			right = append(right, r)
		default:
			wrong = append(wrong, r)
		}
	}
	switch {
	case len(wrong) > 0 && len(right) == 0:
		e.red(what, fmt.Sprintf("rule %d of the NIC: %s; %s binds queue %d, and hears nobody", wrong[0].Place, wrong[0].Says(), n.Name, n.Queue),
			fmt.Sprintf("ethtool -N %s delete %d && %s", n.Interface, wrong[0].Place, steer(n)))
	case len(wrong) > 0:
		e.yellow(what, fmt.Sprintf("rule %d of the NIC: %s; rule %d: %s; which of them it heeds, NICs do differently", right[0].Place, right[0].Says(), wrong[0].Place,
			wrong[0].Says()), fmt.Sprintf("ethtool -N %s delete %d", n.Interface, wrong[0].Place))
	case len(right) > 0:
		e.green(what, fmt.Sprintf("rule %d of the NIC: %s", right[0].Place, right[0].Says()))
	}
	return len(slices.Concat(right, wrong)) > 0
}
