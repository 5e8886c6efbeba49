package crc32c

import (
	"fmt"
	"hash/crc32"
	"math/rand"
	"testing"
)

// Whatever the length, the place in memory and the start, the result is that of hash/crc32.
func TestIsCRC32C(t *testing.T) {
	if !accelerated {
		t.Skip("this processor lacks SSE 4.2 or PCLMULQDQ: hash/crc32 would be compared with itself")
	}
	rng := rand.New(rand.NewSource(1))
	data := make([]byte, 1<<17)
	rng.Read(data)
	check := func(offset, n int) {
		start, part := rng.Uint32(), data[offset:offset+n:offset+n]
		if got, want := Update(start, part), crc32.Update(start, castagnoli, part); got != want {
			t.Fatalf("%d bytes from offset %d on, start %#x: got %#x, want %#x", n, offset, start, got, want)
		}
	}
	for n := range 4000 {
		check(n%8, n)
	}
	for range 1000 {
		check(rng.Intn(8), rng.Intn(1<<17-8))
	}
}

// The example of RFC 3720, appendix B.4: 32 bytes of zeros, and of ones.
func TestKnownChecks(t *testing.T) {
	ones := make([]byte, 32)
	for i := range ones {
		ones[i] = 0xff
	}
	if got := Update(0, make([]byte, 32)); got != 0x8a9136aa {
		t.Errorf("zeros: %#x", got)
	}
	if got := Update(0, ones); got != 0x62a8ab43 {
		t.Errorf("ones: %#x", got)
	}
	if got := Update(Update(0, ones[:9]), ones[9:]); got != 0x62a8ab43 {
		t.Errorf("ones in two parts: %#x", got)
	}
}

// Nothing past the end is read into the result.
func TestStopsAtTheEnd(t *testing.T) {
	data := make([]byte, 2048)
	for n := range 1024 {
		before := Update(7, data[:n])
		for i := n; i < n+64; i++ {
			data[i] = 0xa5
		}
		if Update(7, data[:n]) != before {
			t.Fatalf("%d bytes: what lies behind them counts", n)
		}
		clear(data)
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add(uint32(0), []byte("123456789"), 3)
	f.Fuzz(func(t *testing.T, start uint32, data []byte, cut int) {
		want := crc32.Update(start, castagnoli, data)
		if got := Update(start, data); got != want {
			t.Fatalf("%d bytes: %#x, want %#x", len(data), got, want)
		}
		if cut < 0 || cut > len(data) {
			return
		}
		if got := Update(Update(start, data[:cut]), data[cut:]); got != want {
			t.Fatalf("%d bytes cut at %d: %#x, want %#x", len(data), cut, got, want)
		}
	})
}

var spent uint32

func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{64, 96, 112, 160, 256, 1492, 9000} {
		data := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				spent += Update(spent, data)
			}
		})
		b.Run(fmt.Sprintf("%d/hash", n), func(b *testing.B) {
			for b.Loop() {
				spent += crc32.Update(spent, castagnoli, data)
			}
		})
	}
}
