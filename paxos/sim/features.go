package sim

import (
	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
)

// features count what a run came to, beside its faults: which parts of the protocol it used.
type features struct{ counts [numFeatures]uint64 }

type feature int

const (
	featSmallTables feature = iota
	featResumed
	featTwins
	featFenced
	featTaken
	featExpired
	featNoRoom
	featReopened
	featRenewed
	featUnsure
	featLarge
	featEmpty
	featDrop
	featHeldBack
	featLetGo
	featHandovers
	featHandoversRefused
	featHandoversDone
	featHandoversFailed
	featToGroup
	featToHost
	featPassed
	numFeatures
)

var featureNames = [numFeatures]string{
	featSmallTables:      "few sessions",
	featResumed:          "sessions resumed",
	featTwins:            "clients with one id",
	featFenced:           "fenced",
	featTaken:            "taken",
	featExpired:          "expired",
	featNoRoom:           "no room",
	featReopened:         "reopened",
	featRenewed:          "renewed",
	featUnsure:           "values with unknown fate",
	featLarge:            "values in fragments",
	featEmpty:            "empty values",
	featDrop:             "slow learners may be let go",
	featHeldBack:         "held back",
	featLetGo:            "learners let go",
	featHandovers:        "handovers asked for",
	featHandoversRefused: "handovers refused",
	featHandoversDone:    "handovers done",
	featHandoversFailed:  "handovers failed",
	featToGroup:          "frames to a group",
	featToHost:           "frames for several nodes of a host",
	featPassed:           "frames passed on",
}

func (f *features) add(k feature, n uint64) { f.counts[k] += n }

func (f *features) count(k feature) { f.counts[k]++ }

// ended hears what a client is told of a value.
func (f *features) ended(s paxos.Status) {
	if s == paxos.StatusFenced || s == paxos.StatusUnknown {
		f.count(featUnsure)
	}
}

// lost hears how a client lost a session.
func (f *features) lost(s paxos.Status) {
	switch s {
	case paxos.StatusFenced:
		f.count(featFenced)
	case paxos.StatusTaken:
		f.count(featTaken)
	case paxos.StatusUnknown:
		f.count(featExpired)
	case paxos.StatusNoRoom:
		f.count(featNoRoom)
	}
}

// event hears what a role tells people.
func (f *features) event(k paxos.EventKind) {
	switch k {
	case paxos.EventHeldBack:
		f.count(featHeldBack)
	case paxos.EventLetGo:
		f.count(featLetGo)
	case paxos.EventHandoverFailed:
		f.count(featHandoversFailed)
	}
}

// delivered hears of a value.
func (f *features) delivered(d *paxos.Delivery, mtu int) {
	if len(d.Data) == 0 {
		f.count(featEmpty)
	} else if len(d.Data) > paxos.MaxValue(mtu) {
		f.count(featLarge)
	}
}

// frame hears the network. It counts what leaves once for several nodes: a frame to a group goes to all of its members, so also to the door of the first node
// that it names, and is counted there. And it wants frames to be sound when they leave, and one within a host to be for nodes of that machine alone:
// else it would be passed back, and on, for ever.
func (w *world) frame(e simwire.TapEvent) {
	if e.Kind != simwire.Sent {
		return
	}
	h, _, drop := paxos.ParseFrame(e.Data, paxos.Cluster(w.plan.file.Cluster), paxos.Group(w.plan.file.Group))
	if drop != paxos.DropNone {
		w.suite.Fail("frame", "%s sends %s what nobody takes: %v", w.net.Name(e.From), w.net.Name(e.To), drop)
		return
	}
	door := w.machines[e.To].door
	within := w.machines[e.From].door == door
	far, elsewhere := 0, 0
	for nodes := h.Nodes(); nodes != 0; nodes &= nodes - 1 {
		home := w.home[nodes.Least()]
		if home != e.To {
			elsewhere++
		}
		if w.machines[home].door != door {
			far++
		}
	}
	switch {
	case within && elsewhere > 0:
		w.suite.Fail("passed on", "%s sends %s, on its own host, a frame that is also for %d nodes elsewhere", w.net.Name(e.From), w.net.Name(e.To), elsewhere)
	case h.Also == 0 || w.machines[w.home[h.Destination]].door != door:
	case far > 0:
		w.features.count(featToGroup)
	default:
		w.features.count(featToHost)
	}
}

// list are those that happened.
func (f *features) list() (list []Count) {
	for k, n := range f.counts {
		if n > 0 {
			list = append(list, Count{featureNames[k], n})
		}
	}
	return list
}
