package dataplane

import (
	"fmt"
	"sync/atomic"
	"time"
)

// inspectBound is how long Inspect waits for a loop that does not answer: one that nobody runs, or whose task hangs.
const inspectBound = 2 * time.Second

// inspection is a function on its way to the loop. Who changes state first has it: the loop to run it, or the asker to give up.
type inspection struct {
	fn    func()
	taken atomic.Bool
	done  chan struct{}
}

func (r *inspection) serve() {
	if r.taken.CompareAndSwap(false, true) {
		r.fn()
		close(r.done)
	}
}

// Inspect runs fn on the loop's goroutine between two cycles and waits until it has: the way for others to read counters or change
// settings that the loop owns. The loop polls nothing meanwhile. An error means that fn was not run and will not be: the loop has
// ended, or did not answer within two seconds. Not to be called from the loop itself.
func (l *Loop) Inspect(fn func()) error {
	request := &inspection{fn: fn, done: make(chan struct{})}
	bound := time.NewTimer(inspectBound)
	defer bound.Stop()

	var cause error
	select {
	case l.requests <- request:
		l.attract()
		select {
		case <-request.done:
			return nil
		case <-l.ended:
			cause = errEnded
		case <-bound.C:
			cause = fmt.Errorf("it did not answer within %v: is it running, does its task hang?", inspectBound)
		}
	case <-l.ended:
		cause = errEnded
	case <-bound.C:
		cause = fmt.Errorf("it answered nobody within %v: is it running, does its task hang?", inspectBound)
	}
	if !request.taken.CompareAndSwap(false, true) { // begun in the meantime: then it is run to its end
		<-request.done
		return nil
	}
	return fmt.Errorf("loop %s: %w", l.cfg.Name, cause)
}
