package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// How the people who run a client treat its sessions: they keep them in a file or not, as the command's --session-file does, and when a session is
// lost they start the client anew, with the file, without it, or with the order to take the session over.

// habits are what they do, drawn for each client.
type habits struct {
	keep     bool // sessions are resumed after a crash
	takeOver bool // resumed also if another has them in another generation
	reopen   bool // a session that expired is replaced
}

// sessionPath is the file, on the machine's disk.
const sessionPath = "sessions"

// keeper writes the sessions of one process to the file, a while after they changed.
type keeper struct {
	writing  bool
	leaving  bool // the process is to be ended, for it lost a session
	takeOver bool // at the next start
}

// clientSpec is what the client of this machine does from now on.
func (m *machine) clientSpec() (*node.ClientSpec, error) {
	p := m.w.plan
	resume, err := m.kept()
	if err != nil {
		return nil, err
	}
	m.source = newSource(m)
	h := m.habits
	spec := &node.ClientSpec{
		Sessions: p.sessions, Outstanding: p.outstanding, MaxValue: p.maxValue, Source: m.source,
		Resume: resume, TakeOver: h.takeOver || m.keeper.takeOver, Reopen: h.reopen,
	}
	m.w.features.add(featResumed, uint64(len(resume)))
	m.keeper = keeper{}
	return spec, nil
}

// kept are the sessions in the file.
func (m *machine) kept() (ids []client.SessionID, err error) {
	text, err := m.disk.Read(sessionPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		id, err := client.ParseSessionID(strings.TrimSuffix(line, "\n"))
		if err != nil {
			panic(fmt.Sprintf("sim: %s: the file of sessions is damaged, though it was replaced as a whole: %v", m.name, err))
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// save replaces the file by one with the sessions that are open now, if all are.
func (m *machine) save() error {
	var text strings.Builder
	for _, id := range m.source.client.SessionIDs() {
		if id.Generation == 0 {
			return nil
		}
		fmt.Fprintln(&text, id)
	}
	return m.saveText([]byte(text.String()))
}

func (m *machine) saveText(text []byte) error {
	file, err := m.disk.Create(sessionPath + ".new")
	if err != nil {
		return err
	}
	if _, err = file.Write(text); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = m.disk.Rename(sessionPath+".new", sessionPath)
	}
	if err == nil {
		err = m.disk.SyncDir("")
	}
	return err
}

// discard removes the file: the next start begins with new sessions.
func (m *machine) discard() {
	if err := errors.Join(m.disk.Remove(sessionPath), m.disk.SyncDir("")); err != nil {
		panic(err) // the disk works while the power is on
	}
}

// sessionsChanged has the file written, and the process ended if a session is lost. Both take their time.
func (m *machine) sessionsChanged() {
	w, start := m.w, m.starts
	k := &m.keeper
	if m.habits.keep && !k.writing {
		k.writing = true
		w.events.add(w.now+m.random.between(50*us, 20*ms), func() {
			if m.up() && m.starts == start {
				k.writing = false
				if err := m.save(); err != nil {
					panic(err) // the disk works while the power is on
				}
			}
		})
	}
	if m.source.client.Lost() != nil && !k.leaving {
		k.leaving = true
		m.leaveSoon(start)
	}
}

// leaveSoon ends a process that lost a session and starts it again, once it may.
func (m *machine) leaveSoon(start int) {
	w := m.w
	w.events.add(w.now+m.random.between(1*ms, longestRestNs), func() {
		switch {
		case !m.up() || m.starts != start:
		case w.quiet || !w.faults.mayCrash(m):
			m.leaveSoon(start)
		default:
			m.begunAnew()
		}
	})
}

// begunAnew starts the client again after it lost a session, as its error advises. Once the faults are over nobody fights for a session any more.
func (m *machine) begunAnew() {
	var lost *client.SessionError
	if !errors.As(m.source.client.Lost(), &lost) {
		m.keeper.leaving = false // it has another in its place by now
		return
	}
	m.w.features.lost(lost.Status)
	m.w.trace.event(m, "is begun anew: %v", lost)
	again := lost.Status == paxos.StatusTaken || lost.Status == paxos.StatusFenced
	takeOver := again && !m.w.faults.over && m.random.percent(50)
	if !takeOver {
		m.node.Leave() // what else it has is closed
	}
	m.crash()
	if !takeOver {
		m.discard()
	}
	m.keeper.takeOver = takeOver
	m.start()
}

// clients are the machines that run clients.
func (w *world) clients() (list []*machine) {
	for _, m := range w.machines {
		if m.has(cluster.Client) {
			list = append(list, m)
		}
	}
	return list
}

// client ends a client, and starts it again with its sessions, without, or with those of another; or it lets one hang, so that its sessions expire.
func (f *faults) client() {
	r, list := &f.clients, f.w.clients()
	m, other := list[r.below(int64(len(list)))], list[r.below(int64(len(list)))]
	how, takeOver, length := r.below(8), r.percent(50), of(r, 1*ms, 50*ms, 400*ms, 800*ms)
	if !m.up() {
		return
	}
	if how < 2 {
		m.pause(length)
		return
	}
	if !f.mayCrash(m) {
		return
	}
	m.crash()
	switch how {
	case 2, 3, 4:
		m.discard()
	case 5, 6:
		f.lend(other, m, takeOver)
	}
	f.after(length, func() { f.restart(m) })
}

// lend gives a client the sessions of another, which may run on: it shall hear that they are no longer its own. Who loses sessions is begun anew, so
// neither may share its machine with the only learner.
func (f *faults) lend(from, to *machine, takeOver bool) {
	text, err := from.disk.Read(sessionPath)
	alone := len(f.w.plan.file.Learners()) == 1
	if err != nil || from == to || alone && (from.has(cluster.Learner) || to.has(cluster.Learner)) {
		return
	}
	if err := to.saveText(text); err != nil {
		panic(err) // the disk works while the power is on
	}
	to.keeper.takeOver = takeOver
	f.w.features.count(featTwins)
	f.w.trace.event(to, "has the sessions of %s now", from.name)
}
