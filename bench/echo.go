package bench

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/dataplane"
)

// An echo is the floor under a latency: frames that one loop sends to another and gets back, over the ports of a run and with nothing of
// the protocol in between. An Echo sends, a Reflector sends back; both are tasks of loops. The Echo's parts:
//
//  1. Until the first answer, and a warm-up behind it: whatever comes back.
//  2. One frame under way: a round trip is two hops.
//  3. Many under way: how many come back in a second.
//
// Times are of cycles, as in a run: from the cycle that sent a frame to the one that got it back.

// EchoConfig says what an echo measures. Times are nanoseconds.
type EchoConfig struct {
	Size     int   `json:"size"`      // bytes of a frame's payload, at least 16; the port's MTU where that is less
	UnderWay int   `json:"under_way"` // frames of the third part
	WarmupNs int64 `json:"warmup_ns"`
	HopNs    int64 `json:"hop_ns"`  // of the second part
	RateNs   int64 `json:"rate_ns"` // of the third
}

// EchoResult is what an echo measured.
type EchoResult struct {
	Size     int     `json:"size"`
	UnderWay int     `json:"under_way"`
	Rounds   uint64  `json:"rounds"` // of one frame
	RoundUs  Latency `json:"round_us"`
	PerS     float64 `json:"per_s"` // frames that came back, with UnderWay under way
	Lost     uint64  `json:"lost"`  // frames that were given up
}

// Frames of an echo: a sequence and the time of the cycle that sent it.
const (
	offEchoSequence = 0
	offEchoSent     = 8
	leastEcho       = 16
)

// MaxUnderWay is as many frames as the rings of every port hold.
const MaxUnderWay = 1024

const (
	echoBurst   = 64
	giveUpNs    = 200e6 // without any answer after which the frames under way are lost: a loop may wait for its core as long
	echoBoundNs = 20e9  // without a first answer after which nobody is there; and the longest that a part lasts
	leastEchoes = 100   // frames that come back in a part: where loops are kept off their cores, it lasts longer
)

type echoPart uint8

const (
	echoWarmup echoPart = iota
	echoHop
	echoRate
	echoOver
)

// Echo is the end that sends. It implements dataplane.Task.
type Echo struct {
	cfg  EchoConfig
	port dataplane.Port
	peer dataplane.Peer
	done func()

	part     echoPart
	began    int64 // the part; 0: no answer yet
	first    int64 // when the first frame was sent; 0: none was
	heard    int64 // the last answer, or the first frame since
	sequence uint64
	valid    uint64 // frames below are given up, or of an earlier part
	open     int    // frames under way
	came     uint64 // in this part
	lost     uint64
	took     int64 // the third part
	rounds   *hdrhistogram.Histogram
	rx, tx   []dataplane.Frame
}

// NewEcho makes the end that sends, to a peer of its port. It calls done, on the loop, when it is over. Nothing is allocated afterwards.
func NewEcho(cfg EchoConfig, port dataplane.Port, peer dataplane.Peer, done func()) (*Echo, error) {
	switch {
	case cfg.Size < leastEcho:
		return nil, fmt.Errorf("bench: frames of %d bytes, want at least %d", cfg.Size, leastEcho)
	case cfg.UnderWay < 1 || cfg.UnderWay > MaxUnderWay:
		return nil, fmt.Errorf("bench: %d frames under way, want 1 to %d", cfg.UnderWay, MaxUnderWay)
	case cfg.WarmupNs < 0 || cfg.HopNs <= 0 || cfg.RateNs <= 0:
		return nil, fmt.Errorf("bench: an echo of %d, %d and %d ns: want positive times", cfg.WarmupNs, cfg.HopNs, cfg.RateNs)
	}
	cfg.Size = min(cfg.Size, port.MTU())
	return &Echo{
		cfg: cfg, port: port, peer: peer, done: done, rounds: newHistogram(),
		rx: make([]dataplane.Frame, echoBurst), tx: make([]dataplane.Frame, echoBurst),
	}, nil
}

// Cycle takes what came back and sends what is missing.
func (e *Echo) Cycle(now int64) (work int) {
	if e.part == echoOver {
		return 0
	}
	work = e.receive(now)
	e.advance(now)
	if e.part != echoOver {
		work += e.send(now)
		e.port.Flush()
	}
	return work
}

// Deadline is when the next cycle is due though nothing arrives.
func (e *Echo) Deadline() int64 {
	switch {
	case e.part == echoOver:
		return math.MaxInt64
	case e.open < e.want():
		return 0
	}
	due := e.heard + giveUpNs
	if e.began > 0 && e.came >= leastEchoes {
		due = min(due, e.began+e.partNs())
	}
	return due
}

func (e *Echo) want() int {
	if e.part == echoRate {
		return e.cfg.UnderWay
	}
	return 1
}

func (e *Echo) partNs() int64 {
	return [...]int64{echoWarmup: e.cfg.WarmupNs, echoHop: e.cfg.HopNs, echoRate: e.cfg.RateNs}[e.part]
}

func (e *Echo) receive(now int64) (n int) {
	for range 4 {
		got := e.port.RxBurst(e.rx)
		for i := range got {
			e.take(now, e.rx[i].Data)
		}
		e.port.Free(e.rx[:got])
		if n += got; got < echoBurst {
			break
		}
	}
	return n
}

func (e *Echo) take(now int64, frame []byte) {
	if len(frame) < leastEcho || binary.LittleEndian.Uint64(frame[offEchoSequence:])-e.valid >= e.sequence-e.valid {
		return // of an earlier part, or of another echo
	}
	if e.began == 0 {
		e.began = now
	}
	e.open--
	e.came++
	e.heard = now
	if e.part == echoHop {
		record(e.rounds, min(max(now-int64(binary.LittleEndian.Uint64(frame[offEchoSent:])), 0), highestNs), 1)
	}
}

// advance goes on to the next part in its time, and gives up what does not come back.
func (e *Echo) advance(now int64) {
	if e.open > 0 && now-e.heard >= giveUpNs {
		if e.began > 0 {
			e.lost += uint64(e.open)
		}
		e.forget()
	}
	if e.first > 0 && e.began == 0 && now-e.first >= echoBoundNs {
		e.part = echoOver
		e.done()
		return
	}
	if took := now - e.began; e.began == 0 || took < e.partNs() || e.came < leastEchoes && took < echoBoundNs {
		return
	}
	if e.part == echoRate {
		e.took = now - e.began
	} else {
		e.came = 0
	}
	e.part++
	e.began = now
	e.forget()
	if e.part == echoOver {
		e.done()
	}
}

// forget takes no frame for an answer that was sent before.
func (e *Echo) forget() { e.open, e.valid = 0, e.sequence }

func (e *Echo) send(now int64) (sent int) {
	for missing := e.want() - e.open; missing > 0; {
		got := e.port.Alloc(e.tx[:min(missing, echoBurst)])
		for i := range got {
			f := &e.tx[i]
			f.Data, f.Peer = f.Data[:e.cfg.Size], e.peer
			binary.LittleEndian.PutUint64(f.Data[offEchoSequence:], e.sequence+uint64(i))
			binary.LittleEndian.PutUint64(f.Data[offEchoSent:], uint64(now))
		}
		took := e.port.TxBurst(e.tx[:got])
		e.port.Free(e.tx[took:got])
		if e.open == 0 && took > 0 {
			e.heard = now
		}
		e.sequence += uint64(took)
		e.open += took
		missing -= took
		if sent += took; took == 0 || took < got {
			break // the port is full: the next cycle sends the rest
		}
	}
	if e.first == 0 && sent > 0 {
		e.first = now
	}
	return sent
}

// Result is what was measured. The loop has ended.
func (e *Echo) Result() (EchoResult, error) {
	r := EchoResult{Size: e.cfg.Size, UnderWay: e.cfg.UnderWay, Rounds: uint64(e.rounds.TotalCount()), RoundUs: latencyOf(e.rounds), Lost: e.lost}
	if e.took == 0 || r.Rounds == 0 || e.came == 0 {
		return r, fmt.Errorf("bench: the echo did not come to its end: %d frames came back in its second part, %d in its third", r.Rounds, e.came)
	}
	r.PerS = float64(e.came) * 1e9 / float64(e.took)
	return r, nil
}

// Reflector sends every frame back to whom it came from. It implements dataplane.Task.
type Reflector struct {
	port   dataplane.Port
	rx, tx []dataplane.Frame
}

// NewReflector makes the end that sends back.
func NewReflector(port dataplane.Port) *Reflector {
	return &Reflector{port: port, rx: make([]dataplane.Frame, echoBurst), tx: make([]dataplane.Frame, echoBurst)}
}

// Cycle sends back what came. Where the port has no frame left, it is lost.
func (r *Reflector) Cycle(int64) (work int) {
	for range 4 {
		got := r.port.RxBurst(r.rx)
		if got == 0 {
			break
		}
		n := r.port.Alloc(r.tx[:got])
		for i := range n {
			f := &r.tx[i]
			f.Data = f.Data[:copy(f.Data[:cap(f.Data)], r.rx[i].Data)]
			f.Peer = r.rx[i].Peer
		}
		took := r.port.TxBurst(r.tx[:n])
		r.port.Free(r.tx[took:n])
		r.port.Free(r.rx[:got])
		if work += got; got < echoBurst {
			break
		}
	}
	if work > 0 {
		r.port.Flush()
	}
	return work
}

// Deadline is never: it only answers.
func (r *Reflector) Deadline() int64 { return math.MaxInt64 }

// NewWire holds the median latency of a run whose values cross that many hops against the echo of its frames.
func NewWire(hops int, e *EchoResult, medianUs float64) *Wire {
	w := &Wire{Hops: float64(hops), HopUs: e.RoundUs.P50 / 2, EchoPerS: e.PerS}
	w.FloorUs = w.Hops * w.HopUs
	if w.FloorUs > 0 {
		w.RatioFloor = medianUs / w.FloorUs
	}
	return w
}
