package paxos

// What a learner tells its clients of who leads.

// heed notes who leads: the owner of the highest ballot heard.
func (l *Learner) heed(m *Message) {
	if m.Ballot <= l.led {
		return
	}
	l.led = m.Ballot
	if l.leader != m.From {
		l.leader, l.replies.leader, l.announce = m.From, m.From, true
	}
}

// announceLeader tells the clients that are registered here of another leader, so that what they sent to the one before need not wait for a
// timeout. Replies say it as well, and so does the answer to the registration that a client without replies sends.
func (l *Learner) announceLeader(out *Outbox) {
	l.announce = false
	for _, id := range l.clients.list[:l.clients.n] {
		l.okClient(id, out)
	}
}

func (l *Learner) okClient(id NodeID, out *Outbox) {
	ok := out.send(KindOK, id)
	ok.Flags, ok.Low, ok.Leader = FlagClient, l.next, l.leader
}
