package sim

// events are what is going to happen, by time and, at one time, in the order in which it was arranged. Turns of machines are most of them and take
// no memory of their own.
type events struct {
	heap []event
	made uint64
}

type event struct {
	at      int64
	order   uint64
	machine *machine // its turn; nil: do
	do      func()
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.order < f.order }

// next is the time of the first one, or never.
func (q *events) next() int64 {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].at
}

func (q *events) add(at int64, do func()) { q.push(event{at: at, do: do}) }

func (q *events) addTurn(at int64, m *machine) { q.push(event{at: at, machine: m}) }

// run takes the first one and lets it happen.
func (q *events) run(w *world) {
	e := q.pop()
	if e.machine == nil {
		e.do()
	} else if e.machine.wakeAt == e.at { // else it was put off or brought forward
		e.machine.turn()
	}
}

func (q *events) push(e event) {
	q.made++
	e.order = q.made
	q.heap = append(q.heap, e)
	at := len(q.heap) - 1
	for at > 0 {
		parent := (at - 1) / 4
		if !e.before(&q.heap[parent]) {
			break
		}
		q.heap[at] = q.heap[parent]
		at = parent
	}
	q.heap[at] = e
}

func (q *events) pop() event {
	first := q.heap[0]
	size := len(q.heap) - 1
	e := q.heap[size]
	q.heap[size] = event{}
	q.heap = q.heap[:size]
	at := 0
	for {
		least := 4*at + 1
		if least >= size {
			break
		}
		for child := least + 1; child < min(4*at+5, size); child++ {
			if q.heap[child].before(&q.heap[least]) {
				least = child
			}
		}
		if !q.heap[least].before(&e) {
			break
		}
		q.heap[at] = q.heap[least]
		at = least
	}
	if size > 0 {
		q.heap[at] = e
	}
	return first
}
