package sim

import "math/bits"

// random is a stream of numbers: SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014). Each concern of a run has
// a stream of its own, so that one more question about faults leaves the cluster as it was.
type random struct{ state uint64 }

const golden = 0x9E3779B97F4A7C15

func newRandom(seed uint64, concern string) random {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(concern) {
		h = (h ^ uint64(concern[i])) * 1099511628211
	}
	r := random{state: seed}
	return random{state: r.next() ^ h}
}

func (r *random) next() uint64 {
	r.state += golden
	z := r.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// below draws from 0 to n-1, evenly but for less than n in 2^64.
func (r *random) below(n int64) int64 {
	high, _ := bits.Mul64(r.next(), uint64(n))
	return int64(high)
}

// between draws from low to high.
func (r *random) between(low, high int64) int64 { return low + r.below(high-low+1) }

// percent is true that often.
func (r *random) percent(n int64) bool { return r.below(100) < n }

// of draws one of several.
func of[T any](r *random, choices ...T) T { return choices[r.below(int64(len(choices)))] }
