package nictest

import (
	"testing"
	"time"

	"wirepaxos/dataplane/afxdp"
)

// Zero-copy sockets that are busy-polled lose nothing. virtio_net's two sides do not share a NAPI: where packets are not completed for that, the port
// finds it, says so, and goes on without busy-polling.
func TestBusyPoll(t *testing.T) {
	na, nb := pair(t)
	for _, tuned := range []bool{false, true} {
		name := "as it is"
		if tuned {
			name = "interrupts deferred"
		}
		t.Run(name, func(t *testing.T) {
			if tuned {
				for _, n := range []nic{na, nb} {
					succeed(t, nil, "nic", "tune", n.name, "--busy-poll")
					t.Cleanup(func() { succeed(t, nil, "nic", "restore", n.name) })
				}
			}
			ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
			ca.BusyPoll, cb.BusyPoll = afxdp.BusyPoll{Prefer: true}, afxdp.BusyPoll{Prefer: true}
			a, b := open(t, ca), open(t, cb)
			looked := time.Now()
			look := func() {
				if time.Since(looked) < 20*time.Millisecond {
					return
				}
				looked = time.Now()
				must(t, a.RefreshDriverCounters())
				must(t, b.RefreshDriverCounters())
			}
			play(t, a, 2000, func() {
				reflect(b)
				look()
			})
			for _, p := range []*afxdp.Port{a, b} {
				i := p.Info()
				t.Logf("%s: busy-polling %q, %d stalls, note %q", i.Interface, i.BusyPoll, p.Counters().TxStalls, i.Note)
				stalled := i.BusyPoll == "stalled"
				if i.BusyPoll != "prefer" && !stalled {
					t.Errorf("%s: asked for busy-polling: %+v", i.Interface, i)
				}
				if stalled != (p.Counters().TxStalls > 0) || stalled && i.Note == "" {
					t.Errorf("%s: %d stalls, and it tells %+v", i.Interface, p.Counters().TxStalls, i)
				}
			}
		})
	}
}
