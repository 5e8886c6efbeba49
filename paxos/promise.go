package paxos

// promise is what has come of an acceptor's promise, which goes over the wire in pages. What a page reports is kept as soon as it comes, for it is of a
// ballot below ours whatever else is missing; but the promise counts only once pages cover everything from where it was asked for.
//
// Pages overtake one another. If those that come early were left, each retry time would bring a promise of many pages but a few pages further:
// several proposers would preempt each other before any of them got to the end.
type promise struct {
	next  Instance // pages cover everything below
	pages int      // that came since the last question
	done  bool     // the last page is there, and all before it
	early [promisePages]pageRange
	n     int
}

// pageRange is what a page that came early covers: [from, until), and with last everything above.
type pageRange struct {
	from, until Instance
	last        bool
}

// cover notes a page. Where there is no room for one that came early, it is asked for again.
func (r *promise) cover(from, until Instance, last bool) {
	r.pages++
	if from > r.next {
		if r.n < len(r.early) {
			r.early[r.n] = pageRange{from, until, last}
			r.n++
		}
		return
	}
	r.advance(until, last)
	for i := 0; i < r.n && !r.done; {
		e := r.early[i]
		if e.from > r.next {
			i++
			continue
		}
		r.n--
		r.early[i] = r.early[r.n]
		r.advance(e.until, e.last)
		i = 0
	}
}

func (r *promise) advance(until Instance, last bool) {
	r.next = max(r.next, until)
	r.done = r.done || last
}
