package afxdp

import (
	"errors"
	"fmt"
	"time"

	"wirepaxos/dataplane"
)

// Health is how the interface of a port is, as far as its watch knows.
type Health struct {
	State    string  `json:"state"`    // LinkUp, LinkDown, LinkNoCarrier, LinkGone or LinkNoProgram
	ForS     float64 `json:"for_s"`    // for how long it has been up, or away
	Losses   uint64  `json:"losses"`   // times that it ceased to be up
	AwayS    float64 `json:"away_s"`   // for how long in all, up to now
	Reopened uint64  `json:"reopened"` // times that it was gone, came back, and the port was opened anew
	MTU      int     `json:"mtu"`      // of the interface
}

// The states of an interface.
const (
	LinkUp        = "up"
	LinkDown      = "down"       // somebody set it down
	LinkNoCarrier = "no carrier" // the other end of the wire is off
	LinkGone      = "gone"       // the socket has lost it
	LinkNoProgram = "no program" // somebody took our XDP program off
)

// bound tells whether the port has its interface, whatever that is like.
func (h *Health) bound() bool { return h.State != LinkGone && h.State != LinkNoProgram }

// Health tells how the interface is. Any goroutine may ask.
func (p *Port) Health() Health {
	w := p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.health
	h.ForS = time.Duration(dataplane.Now() - w.since).Seconds()
	if h.State != LinkUp {
		h.AwayS += h.ForS
	}
	return h
}

// Trouble tells people what is wrong with the interface, in a line each. Any goroutine may ask.
func (p *Port) Trouble() (lines []string) {
	w := p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := w.lost(w.health.State); text != "" {
		away := time.Duration(dataplane.Now() - w.since)
		lines = append(lines, w.line("%s (for %v)", text, away.Round(time.Millisecond)))
	}
	if w.excuse.text != "" {
		lines = append(lines, w.line("%s", w.excuse.text))
	}
	if h := &w.health; h.bound() && h.MTU < w.needs {
		lines = append(lines, w.line("%s", w.short(h.MTU)))
	}
	return lines
}

// lost says what a state means and what to do, or "" for LinkUp.
func (w *watch) lost(state string) string {
	switch state {
	case LinkDown:
		return fmt.Sprintf("the interface was set down: nothing comes or goes until `ip link set dev %s up`", w.config.Interface)
	case LinkNoCarrier:
		return "the link is down: look at the cable and at the other end"
	case LinkGone:
		return "the interface is gone: waiting for one of that name"
	case LinkNoProgram:
		return "our XDP program was taken off the interface, where nothing comes to this process without it"
	}
	return ""
}

// short says what a small MTU means. In copy mode the kernel does not hold what we send against it; what receives does.
func (w *watch) short(mtu int) string {
	fits := mtu - (w.needs - w.port.mtu)
	return fmt.Sprintf("the interface's MTU is %d: frames with more than %d bytes of payload may be lost, and up to %d are sent: run `ip link set dev %s mtu %d`, "+
		"or restart every process of the cluster with a smaller mtu in its file", mtu, max(fits, 0), w.port.mtu, w.config.Interface, w.needs)
}

// note takes what was seen of a bound interface, and tells what has changed.
func (w *watch) note(state string, mtu int) {
	w.mu.Lock()
	h := &w.health
	was, wasMTU, now := h.State, h.MTU, dataplane.Now()
	h.State = state
	bound := h.bound()
	if bound {
		h.MTU = mtu
	}
	away := time.Duration(now - w.since)
	switch {
	case was == LinkUp && state != LinkUp:
		h.Losses++
		w.since = now
	case was != LinkUp && state == LinkUp:
		h.AwayS += away.Seconds()
		w.since = now
	}
	w.mu.Unlock()

	switch {
	case !bound && was != state, was == LinkUp && state != LinkUp:
		w.tell("%s", w.lost(state))
	case was != LinkUp && state == LinkUp:
		w.tell("the link is back after %v", away.Round(time.Millisecond))
	}
	switch {
	case !bound:
	case mtu < w.needs && wasMTU != mtu:
		w.tell("%s", w.short(mtu))
	case mtu >= w.needs && wasMTU < w.needs:
		w.tell("the interface's MTU is %d again: all frames fit", mtu)
	}
}

// noteReopened tells that the port is open again.
func (w *watch) noteReopened(mode string, mtu int) {
	what := "the interface is back"
	w.mu.Lock()
	if w.health.State == LinkNoProgram {
		what = "our XDP program is on the interface again"
	}
	away := time.Duration(dataplane.Now() - w.since)
	w.health.State, w.health.MTU, w.excuse.text = LinkUp, max(mtu, w.needs), "" // the next look tells what of it is not so
	w.health.AwayS += away.Seconds()
	w.health.Reopened++
	w.since = dataplane.Now()
	w.mu.Unlock()
	w.tell("%s after %v: the queue is bound anew, in mode %s", what, away.Round(time.Millisecond), mode)
}

// noteRefused keeps why the port could not be opened anew, and tells it once. That the interface is not there yet is nothing new.
func (w *watch) noteRefused(err *Error) {
	text := ""
	switch {
	case errors.Is(err, ErrNoInterface):
		w.note(LinkGone, 0) // also if it was only the program that was gone before
	case errors.Is(err, ErrInterfaceDown):
		text = fmt.Sprintf("the interface is there, and down: run `ip link set dev %s up`", w.config.Interface)
	default:
		text = fmt.Sprintf("the interface is there, but %s", err.reason())
	}
	now := dataplane.Now()
	w.mu.Lock()
	e := &w.excuse
	if text != e.text {
		e.text, e.since, e.told = text, now, false
	}
	ripe := text != "" && !e.told && now-e.since >= excuseNs
	e.told = e.told || ripe
	w.mu.Unlock()
	if ripe {
		w.tell("%s", text)
	}
}

// line is a line about the port.
func (w *watch) line(format string, args ...any) string {
	return fmt.Sprintf("%s queue %d: ", w.config.Interface, w.config.Queue) + fmt.Sprintf(format, args...)
}

func (w *watch) tell(format string, args ...any) {
	if w.config.Tell != nil && !w.stop.Load() {
		w.config.Tell(w.line(format, args...))
	}
}
