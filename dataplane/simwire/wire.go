package simwire

// flight is a frame on its way.
type flight struct {
	at       int64
	sequence uint64
	cell     uint32
}

// before is the order of arrival.
func (f *flight) before(g *flight) bool {
	return f.at < g.at || f.at == g.at && f.sequence < g.sequence
}

// spread sends a frame to all members of a group, each copy over its own link.
func (n *Net) spread(i uint32, members []Address) {
	last := len(members) - 1
	for _, to := range members[:last] {
		k := n.double(i)
		n.cells.all[k].to = to
		n.send(k)
	}
	n.cells.all[i].to = members[last]
	n.send(i)
}

// double is another cell with the same frame.
func (n *Net) double(i uint32) uint32 {
	k := n.cells.take(onWire, nil) // the table may move
	c, d := &n.cells.all[i], &n.cells.all[k]
	d.from, d.to, d.length = c.from, c.to, c.length
	copy(d.data, c.data[:c.length])
	return k
}

// send decides the fate of a frame and puts it on the wire, once, twice or not at all.
func (n *Net) send(i uint32) {
	c := &n.cells.all[i]
	c.port, c.state = nil, onWire
	n.tell(Sent, c)
	l := n.ends[c.from].links[c.to] // made by Open
	x := l.next()
	switch {
	case l.cut:
		n.tell(CutOff, c)
		n.cells.give(i)
		return
	case x.happens(askDrop, l.faults.DropPPM):
		n.tell(Dropped, c)
		n.cells.give(i)
		return
	}
	twice := x.happens(askDuplicate, l.faults.DuplicatePPM)
	second := i
	if twice {
		second = n.double(i)
		n.tell(Duplicated, &n.cells.all[second])
	}
	n.launch(i, l, x)
	if twice {
		n.launch(second, l, fate(x.draw(askCopy)))
	}
}

// launch puts one copy on the wire.
func (n *Net) launch(i uint32, l *link, x fate) {
	c := &n.cells.all[i]
	if len(n.flights) == n.config.Wire {
		n.tell(WireFull, c)
		n.cells.give(i)
		return
	}
	if x.happens(askCorrupt, l.faults.CorruptPPM) {
		c.length = len(corrupt(c.data[:c.length], x))
		n.tell(Corrupted, c)
	}
	n.sequence++
	n.push(flight{at: n.now + l.faults.delayNs(x), sequence: n.sequence, cell: i})
}

// Now is the network's time in nanoseconds.
func (n *Net) Now() int64 { return n.now }

// Next is the time of the next arrival. ok is false while nothing is on its way.
func (n *Net) Next() (t int64, ok bool) {
	if len(n.flights) == 0 {
		return 0, false
	}
	return n.flights[0].at, true
}

// AdvanceTo moves the clock to t, unless it is there already, and puts into the receive queues all that arrives by t. It returns the
// addresses whose ports got something, each once, in the order in which they did; the list is good until the next call.
func (n *Net) AdvanceTo(t int64) []Address {
	n.arrived = n.arrived[:0]
	n.advances++
	for len(n.flights) > 0 && n.flights[0].at <= t {
		n.now = max(n.now, n.flights[0].at)
		n.arrive(n.pop().cell)
	}
	n.now = max(n.now, t)
	return n.arrived
}

func (n *Net) arrive(i uint32) {
	c := &n.cells.all[i]
	e := n.ends[c.to]
	switch {
	case e.port == nil:
		n.tell(NoPort, c)
		n.cells.give(i)
		return
	case e.port.queue.full():
		e.port.counters.RxDropped++
		n.tell(QueueFull, c)
		n.cells.give(i)
		return
	}
	c.port, c.state = e.port, queued
	e.port.queue.push(i)
	n.tell(Delivered, c)
	if e.woken != n.advances {
		e.woken = n.advances
		n.arrived = append(n.arrived, c.to)
	}
}

// push and pop keep flights a heap of four children each, the first to arrive at its head.
func (n *Net) push(f flight) {
	n.flights = append(n.flights, f)
	at := len(n.flights) - 1
	for at > 0 {
		parent := (at - 1) / 4
		if !f.before(&n.flights[parent]) {
			break
		}
		n.flights[at] = n.flights[parent]
		at = parent
	}
	n.flights[at] = f
}

func (n *Net) pop() flight {
	first := n.flights[0]
	size := len(n.flights) - 1
	f := n.flights[size]
	n.flights = n.flights[:size]
	at := 0
	for {
		least := 4*at + 1
		if least >= size {
			break
		}
		for child := least + 1; child < min(4*at+5, size); child++ {
			if n.flights[child].before(&n.flights[least]) {
				least = child
			}
		}
		if !n.flights[least].before(&f) {
			break
		}
		n.flights[at] = n.flights[least]
		at = least
	}
	if size > 0 {
		n.flights[at] = f
	}
	return first
}
