package client

import (
	"fmt"
	"testing"

	"wirepaxos/paxos"
)

// BenchmarkValue is values on their way through a client: submitted and put into a Submit, then ended by a Reply.
func BenchmarkValue(b *testing.B) {
	for _, burst := range []int{1, 64} {
		b.Run(fmt.Sprint("burst-", burst), func(b *testing.B) {
			cfg := rigConfig()
			cfg.Sessions, cfg.Outstanding = 1, burst
			now, out := paxos.Time(1e9), paxos.NewOutbox()
			c, err := New(cfg, now)
			if err != nil {
				b.Fatal(err)
			}
			step := func(in ...paxos.Message) {
				out.Reset()
				c.Step(now, in, out)
				c.End()
			}
			step()
			e := &c.sessions[0]
			step(paxos.Message{
				Kind: paxos.KindSession, From: learnerA, Client: e.id, Hash: e.hold.token, Offset: uint32(paxos.StatusOpened), Total: 1, Sequence: 1,
			})
			value := make([]byte, 64)
			in := []paxos.Message{{Kind: paxos.KindReply, From: learnerA}}
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				c.Begin(now, out)
				first := e.next
				for range burst {
					if !c.Submit(0, value) {
						b.Fatal("a value was refused")
					}
				}
				c.End()
				in[0].Data = putReply(in[0].Data[:0], e.id, 1, first, uint32(burst), paxos.StatusDelivered)
				out.Reset()
				c.Step(now, in, out)
				c.End()
				if c.Open(0) != 0 {
					b.Fatal("a value is unanswered")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/value")
		})
	}
}
