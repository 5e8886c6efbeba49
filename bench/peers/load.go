package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
)

// loadConfig is what a leader's node is told to do.
type loadConfig struct {
	Outstanding int           `json:"outstanding"`
	Size        int           `json:"size"`
	Warmup      time.Duration `json:"warmup"`
	Duration    time.Duration `json:"duration"`
}

// The bounds of a load. A value begins with its place and its turn.
const (
	minSize        = 8
	maxSize        = 64 << 10
	maxOutstanding = 1 << 14
	longestNs      = int64(60e9) // as in the bench: what took longer counts as a minute
)

// load keeps a number of values under way: the closed loop. A value names the place that it fills; when the state machine has applied it, its
// place is free for the next.
//
// Two goroutines meet in it: the replica takes values that are due, and its state machine says what was applied.
type load struct {
	loadConfig
	free chan struct{} // holds a token when places may have become free

	mu         sync.Mutex
	places     []place
	idle       []uint32 // places without a value under way
	begin, end int64    // of the measurement
	stopped    bool     // nothing is due any more
	over       bool     // the result was taken: what is still under way is lost
	last       int64    // when the last value of the measurement was applied
	measured   *hdrhistogram.Histogram
	values     uint64        // of the measurement, applied
	warmup     uint64        // applied besides
	strays     uint64        // applied, and not under way: something came twice
	retries    uint64        // offers that the peer did not take
	done       chan struct{} // closed when nothing is due any more and everything came back
}

// place is room for one value under way.
type place struct {
	at   int64 // when it was handed over
	turn uint32
	busy bool
}

func newLoad(cfg loadConfig, now int64) *load {
	l := &load{
		loadConfig: cfg, free: make(chan struct{}, 1), places: make([]place, cfg.Outstanding), idle: make([]uint32, 0, cfg.Outstanding),
		begin: now + int64(cfg.Warmup), measured: hdrhistogram.New(1, longestNs, 3), done: make(chan struct{}),
	}
	l.end = l.begin + int64(cfg.Duration)
	for i := range uint32(cfg.Outstanding) {
		l.idle = append(l.idle, i)
	}
	l.free <- struct{}{}
	return l
}

// due appends the values that may be handed over now, each in bytes of its own, for a log keeps them.
func (l *load) due(values [][]byte) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := dataplane.Now()
	if now >= l.end {
		l.stop()
	}
	if l.stopped || len(l.idle) == 0 {
		return values
	}
	all := make([]byte, len(l.idle)*l.Size)
	for i, id := range l.idle {
		p := &l.places[id]
		p.at, p.busy = now, true
		p.turn++
		v := all[i*l.Size : (i+1)*l.Size : (i+1)*l.Size]
		binary.LittleEndian.PutUint32(v, id)
		binary.LittleEndian.PutUint32(v[4:], p.turn)
		values = append(values, v)
	}
	l.idle = l.idle[:0]
	return values
}

// applied takes n values that the state machine of this node has applied.
func (l *load) applied(n int, value func(i int) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := dataplane.Now()
	for i := range n {
		v := value(i)
		if len(v) != l.Size {
			l.strays++
			continue
		}
		id, turn := binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint32(v[4:])
		if id >= uint32(len(l.places)) || !l.places[id].busy || l.places[id].turn != turn {
			l.strays++
			continue
		}
		l.count(&l.places[id], now)
		l.idle = append(l.idle, id)
	}
	if l.stopped {
		l.stop() // that may have been the last
		return
	}
	select {
	case l.free <- struct{}{}:
	default:
	}
}

func (l *load) count(p *place, now int64) {
	p.busy = false
	if p.at < l.begin {
		l.warmup++
		return
	}
	l.values++
	l.last = now
	if l.measured.RecordValue(min(now-p.at, longestNs)) != nil {
		panic("peers: a latency outside its histogram")
	}
}

// stop ends the handing over. It closes done when nothing is under way any more.
func (l *load) stop() {
	l.stopped = true
	if len(l.idle) < len(l.places) {
		return
	}
	select {
	case <-l.done:
	default:
		close(l.done)
	}
}

// again counts a value that the peer did not take at once, and tells whether to offer it once more.
func (l *load) again() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retries++
	return !l.over
}

// loadResult is what a load measured.
type loadResult struct {
	Client  json.RawMessage `json:"client"` // a bench.ClientResult
	Retries uint64          `json:"retries"`
	Strays  uint64          `json:"strays"`
}

// result is what was measured. Values still under way are lost: the run is not to be believed.
func (l *load) result(node int) (*loadResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped, l.over = true, true
	encoded, err := l.measured.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("the histogram cannot be encoded: %w", err)
	}
	open := uint64(len(l.places) - len(l.idle))
	r := bench.ClientResult{
		Node: uint16(node), Size: l.Size, Clients: 1, Outstanding: l.Outstanding, DurationNs: max(l.end, l.last) - l.begin,
		Submitted: l.values + open, Values: l.values, Warmup: l.warmup, Unanswered: open, HistogramV2: string(encoded), Retries: l.retries,
	}
	if l.values > 0 {
		r.IntervalNs = int64(float64(r.DurationNs) * float64(l.Outstanding) / float64(l.values))
	}
	text, err := json.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("the result cannot be encoded: %w", err)
	}
	return &loadResult{Client: text, Retries: l.retries, Strays: l.strays}, nil
}
