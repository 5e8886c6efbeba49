package porttest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"wirepaxos/dataplane"
)

const (
	patience   = 30 * time.Second       // a wait longer than this is a lost frame
	quiet      = 100 * time.Millisecond // nothing more is on its way after this
	quietSlow  = 400 * time.Millisecond // and after this on a slow machine
	stampBytes = 12                     // sequence (8 bytes) and length (4 bytes) at the head of a stamped payload
	maxBurst   = 128
)

func (p *Pair) quiet() time.Duration {
	if p.Slow {
		return quietSlow
	}
	return quiet
}

// often is how many times a check repeats what it does, which is n on a machine that is not slow.
func (p *Pair) often(n int) int {
	if p.Slow {
		return n / 10
	}
	return n
}

// stamp writes a payload that tells its own sequence, length and every byte. len(data) is at least stampBytes.
func stamp(data []byte, seq uint64) {
	binary.LittleEndian.PutUint64(data, seq)
	binary.LittleEndian.PutUint32(data[8:], uint32(len(data)))
	pattern(data[stampBytes:], seq)
}

// pattern fills data with bytes that depend on seq and on their place.
func pattern(data []byte, seq uint64) {
	x := seq*0x9E3779B97F4A7C15 + 1
	for i := range data {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		data[i] = byte(x)
	}
}

var errTorn = errors.New("payload is not what was sent")

// unstamp checks a stamped payload and returns its sequence. pad is as in Pair. It allocates nothing if all is well.
func unstamp(data []byte, pad int) (uint64, error) {
	if len(data) < stampBytes {
		return 0, fmt.Errorf("%w: %d bytes", errTorn, len(data))
	}
	seq, n := binary.LittleEndian.Uint64(data), int(binary.LittleEndian.Uint32(data[8:]))
	if n < stampBytes || !lengthHolds(len(data), n, pad) {
		return 0, fmt.Errorf("%w: frame %d of %d bytes says %d", errTorn, seq, len(data), n)
	}
	x := seq*0x9E3779B97F4A7C15 + 1
	for i, b := range data[stampBytes:n] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if b != byte(x) {
			return 0, fmt.Errorf("%w: frame %d of %d bytes differs at byte %d", errTorn, seq, n, stampBytes+i)
		}
	}
	return seq, nil
}

// lengthHolds tells whether a frame sent with sent bytes may arrive with got.
func lengthHolds(got, sent, pad int) bool {
	return got == sent || got > sent && got <= pad
}

// trySend sends one stamped frame and tells whether the port took it.
func trySend(port dataplane.Port, to dataplane.Peer, seq uint64, length int) bool {
	var one [1]dataplane.Frame
	if port.Alloc(one[:]) == 0 {
		port.Flush()
		return false
	}
	one[0].Peer = to
	one[0].Data = one[0].Data[:length]
	stamp(one[0].Data, seq)
	n := port.TxBurst(one[:])
	if n == 0 {
		port.Free(one[:])
	}
	port.Flush()
	return n == 1
}

// sendBurst sends count stamped frames from sequence first on, in one burst if the port has the cells, and waits until all
// are taken. length gives the payload length of a sequence. from and to are polled by no one else meanwhile.
func sendBurst(t *testing.T, port dataplane.Port, to dataplane.Peer, first uint64, count int, length func(seq uint64) int) {
	t.Helper()
	var frames [maxBurst]dataplane.Frame
	seq, last := first, first+uint64(count)
	for start := time.Now(); seq < last; {
		n := port.Alloc(frames[:min(maxBurst, last-seq)])
		for i := range frames[:n] {
			frames[i].Peer = to
			frames[i].Data = frames[i].Data[:length(seq+uint64(i))]
			stamp(frames[i].Data, seq+uint64(i))
		}
		taken := port.TxBurst(frames[:n])
		port.Free(frames[taken:n])
		port.Flush()
		seq += uint64(taken)
		if taken == 0 {
			if time.Since(start) > patience {
				t.Fatalf("port took %d of %d frames in %v", seq-first, count, patience)
			}
			runtime.Gosched()
		}
	}
}

// receive waits for count frames at to, checks peer and content, expects the sequences from first on in order, and frees them.
// It flushes sender as a loop would.
func receive(t *testing.T, p *Pair, sender, to dataplane.Port, from dataplane.Peer, first uint64, count int) {
	t.Helper()
	var frames [maxBurst]dataplane.Frame
	start := time.Now()
	for got := 0; got < count; {
		n := to.RxBurst(frames[:])
		for i := range frames[:n] {
			seq, err := unstamp(frames[i].Data, p.Pad)
			if err != nil {
				t.Fatal(err)
			}
			if seq != first+uint64(got) {
				t.Fatalf("frame %d came where %d was due", seq, first+uint64(got))
			}
			if frames[i].Peer != from {
				t.Fatalf("frame %d says peer %d, sent by %d", seq, frames[i].Peer, from)
			}
			got++
		}
		to.Free(frames[:n])
		if n == 0 {
			if time.Since(start) > patience {
				t.Fatalf("%d of %d frames came in %v", got, count, patience)
			}
			sender.Flush()
			to.Flush()
			runtime.Gosched()
		}
	}
}

// waitFor polls until done answers true, or fails.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// drain receives and frees until nothing has come for a while, and passes each frame to see (which may be nil).
func (p *Pair) drain(port dataplane.Port, see func(f *dataplane.Frame)) {
	p.drainAll(see, port)
}

func (p *Pair) drainAll(see func(f *dataplane.Frame), ports ...dataplane.Port) {
	var frames [maxBurst]dataplane.Frame
	for last := time.Now(); time.Since(last) < p.quiet(); runtime.Gosched() {
		for _, port := range ports {
			n := port.RxBurst(frames[:])
			for i := range frames[:n] {
				if see != nil {
					see(&frames[i])
				}
			}
			port.Free(frames[:n])
			port.Flush()
			if n > 0 {
				last = time.Now()
			}
		}
	}
}

// settle sends single frames in both directions until they arrive: links come up, neighbours shake hands. What was sent more than once may
// still come when the first one did.
func settle(t *testing.T, p *Pair) {
	t.Helper()
	cross := func(from, to dataplane.Port, peer dataplane.Peer) {
		var frames [8]dataplane.Frame
		start := time.Now()
		sent, arrived := 0, 0
		for arrived == 0 {
			if trySend(from, peer, 0, stampBytes) {
				sent++
			}
			for last := time.Now(); (arrived == 0 || arrived < sent) && time.Since(last) < p.quiet()/5; runtime.Gosched() {
				n := to.RxBurst(frames[:])
				to.Free(frames[:n])
				arrived += n
				idle(from)
				to.Flush()
			}
			if time.Since(start) > patience {
				t.Fatalf("no frame crosses the link within %v (A %+v, B %+v)", patience, p.A.Counters(), p.B.Counters())
			}
		}
		if arrived < sent {
			p.drain(to, nil)
		}
	}
	cross(p.A, p.B, p.AtoB)
	cross(p.B, p.A, p.BtoA)
}

// idle polls a port as a loop with nothing to do would.
func idle(port dataplane.Port) {
	var frames [8]dataplane.Frame
	port.Free(frames[:port.RxBurst(frames[:])])
	port.Flush()
}

// allocAll takes every cell that the port can hand out now.
func allocAll(t *testing.T, port dataplane.Port) []dataplane.Frame {
	t.Helper()
	var all []dataplane.Frame
	var frames [maxBurst]dataplane.Frame
	for {
		n := port.Alloc(frames[:])
		all = append(all, frames[:n]...)
		if n < maxBurst {
			return all
		}
		if len(all) > 1<<20 {
			t.Fatal("Alloc hands out cells without end")
		}
	}
}

// short is a payload length for a sequence, between stampBytes and 256 bytes.
func short(seq uint64) int { return stampBytes + int(seq*7%245) }
