package bench

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
)

// echoRig is an echo and its reflector, stepped by the test.
type echoRig struct {
	echo      *Echo
	reflector *Reflector
	now       int64
	over      bool
}

func newEchoRig(t testing.TB, cfg EchoConfig) *echoRig {
	t.Helper()
	near, far, err := mem.NewPair(mem.Config{Name: "echo", Frames: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	r := &echoRig{now: 5e9, reflector: NewReflector(far)}
	if r.echo, err = NewEcho(cfg, near, 0, func() { r.over = true }); err != nil {
		t.Fatal(err)
	}
	return r
}

// step is a cycle of the echo and then one of the reflector, rigCycle later.
func (r *echoRig) step() {
	r.now += rigCycle
	r.echo.Cycle(r.now)
	r.reflector.Cycle(r.now)
}

func (r *echoRig) finish(t *testing.T, limit int) EchoResult {
	t.Helper()
	for range limit {
		if r.step(); r.over {
			result, err := r.echo.Result()
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
	}
	t.Fatalf("not over after %d steps, in part %d", limit, r.echo.part)
	return EchoResult{}
}

func TestEcho(t *testing.T) {
	r := newEchoRig(t, EchoConfig{Size: 148, UnderWay: 64, WarmupNs: 10 * rigCycle, HopNs: 100 * rigCycle, RateNs: 200 * rigCycle})
	got := r.finish(t, 1000)
	if got.Rounds != 100 || got.RoundUs.P50 != 1 || got.RoundUs.Max != 1 || got.Lost != 0 || got.Size != 148 || got.UnderWay != 64 {
		t.Errorf("%+v, want 100 round trips of a cycle each", got)
	}
	if got.PerS < 63e6 || got.PerS > 64e6 {
		t.Errorf("%g frames/s came back, want 64 a microsecond", got.PerS)
	}
	if d := r.echo.Deadline(); d != math.MaxInt64 || r.echo.Cycle(r.now) != 0 {
		t.Errorf("it is over and wants a cycle at %d", d)
	}
	w := NewWire(3, &got, 4.5)
	if *w != (Wire{Hops: 3, HopUs: 0.5, EchoPerS: got.PerS, FloorUs: 1.5, RatioFloor: 3}) {
		t.Errorf("wire %+v", w)
	}
	if w := NewWire(0, &got, 4.5); w.RatioFloor != 0 {
		t.Errorf("a floor of nothing has the ratio %g", w.RatioFloor)
	}
}

// What does not come back is given up, and is not taken for an answer when it comes after all.
func TestEchoGivesUp(t *testing.T) {
	r := newEchoRig(t, EchoConfig{Size: 16, UnderWay: 4, WarmupNs: 100 * rigCycle, HopNs: 110 * rigCycle, RateNs: 110 * rigCycle})
	for range 120 {
		r.step()
	}
	r.now += rigCycle
	r.echo.Cycle(r.now) // sent, and the reflector is away
	if d := r.echo.Deadline(); d > r.now+giveUpNs || d <= r.now {
		t.Errorf("the next cycle is due in %d ns", d-r.now)
	}
	r.now += giveUpNs
	r.echo.Cycle(r.now)
	r.reflector.Cycle(r.now) // both come back, the first one late
	if r.echo.lost != 1 || r.echo.open < 1 {
		t.Errorf("%d lost, %d under way", r.echo.lost, r.echo.open)
	}
	was := r.echo.open
	r.now += rigCycle
	r.echo.receive(r.now)
	if r.echo.open != was-1 && r.echo.part == echoHop {
		t.Errorf("%d under way after one answer, were %d", r.echo.open, was)
	}
	if r.echo.part != echoHop {
		t.Fatalf("it is in part %d after %d answers", r.echo.part, r.echo.came)
	}
	if got := r.finish(t, 1000); got.Lost != 1 || got.RoundUs.Max > 3 {
		t.Errorf("%+v: the late answer was measured", got)
	}
}

func TestEchoWithoutAPeer(t *testing.T) {
	r := newEchoRig(t, EchoConfig{Size: 16, UnderWay: 4, WarmupNs: 1, HopNs: 1, RateNs: 1})
	for range 200 {
		r.now += giveUpNs
		r.echo.Cycle(r.now)
	}
	if _, err := r.echo.Result(); err == nil || !r.over || !strings.Contains(err.Error(), "did not come to its end") || r.echo.lost != 0 {
		t.Errorf("over %v, %d lost, error %v", r.over, r.echo.lost, err)
	}
}

// A part lasts until enough came back: loops that are kept off their cores have few in its time.
func TestEchoWaitsForEnough(t *testing.T) {
	r := newEchoRig(t, EchoConfig{Size: 16, UnderWay: 1, WarmupNs: 1, HopNs: 1, RateNs: 1})
	if got := r.finish(t, 1000); got.Rounds != leastEchoes || got.PerS < 0.9e6 || got.PerS > 1.1e6 {
		t.Errorf("%+v", got)
	}
}

// Frames of others are no answers.
func TestEchoTakesItsOwn(t *testing.T) {
	r := newEchoRig(t, EchoConfig{Size: 16, UnderWay: 4, WarmupNs: 1, HopNs: 1e6, RateNs: 1e6})
	r.now += rigCycle
	r.echo.Cycle(r.now)
	b := make([]byte, leastEcho)
	binary.LittleEndian.PutUint64(b, 1)
	r.echo.take(r.now, b)
	binary.LittleEndian.PutUint64(b, ^uint64(0))
	r.echo.take(r.now, b)
	r.echo.take(r.now, b[:8])
	r.echo.take(r.now, nil)
	if r.echo.open != 1 || r.echo.began != 0 {
		t.Errorf("%d under way, begun at %d", r.echo.open, r.echo.began)
	}
}

func TestNewEchoSaysWhatIsWrong(t *testing.T) {
	good := EchoConfig{Size: 16, UnderWay: 1, HopNs: 1, RateNs: 1}
	near, far, err := mem.NewPair(mem.Config{Name: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	for want, change := range map[string]func(*EchoConfig){
		"frames of 15 bytes":        func(c *EchoConfig) { c.Size = 15 },
		"0 frames under way":        func(c *EchoConfig) { c.UnderWay = 0 },
		"1025 frames under way":     func(c *EchoConfig) { c.UnderWay = MaxUnderWay + 1 },
		"an echo of 0, 0 and 1 ns":  func(c *EchoConfig) { c.HopNs = 0 },
		"an echo of -1, 1 and 1 ns": func(c *EchoConfig) { c.WarmupNs = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewEcho(cfg, near, 0, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if e, err := NewEcho(EchoConfig{Size: 1 << 20, UnderWay: 1, HopNs: 1, RateNs: 1}, near, 0, nil); err != nil || e.cfg.Size != near.MTU() {
		t.Errorf("a frame longer than the port takes: %v", err)
	}
	var _ dataplane.Task = (*Echo)(nil)
	var _ dataplane.Task = (*Reflector)(nil)
}

func TestEchoAllocatesNothing(t *testing.T) {
	r := newEchoRig(t, EchoConfig{Size: 148, UnderWay: 300, WarmupNs: 1, HopNs: 1, RateNs: 1e15})
	for range 250 {
		r.step()
	}
	if n := testing.AllocsPerRun(200, r.step); n != 0 || r.echo.came == 0 {
		t.Errorf("a cycle of an echo allocates %.1f times; %d frames came", n, r.echo.came)
	}
}

func BenchmarkEcho(b *testing.B) {
	r := newEchoRig(b, EchoConfig{Size: 148, UnderWay: 64, WarmupNs: 1, HopNs: 1, RateNs: 1e18})
	for range 250 {
		r.step()
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += 64 {
		r.step()
	}
}
