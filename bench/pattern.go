package bench

import "encoding/binary"

// The bytes of a value follow from its client and sequence alone, so that a learner can tell whether they arrived as they were sent.

const (
	patternFactor = 6364136223846793005 // a linear congruential generator of full period 2^64 (Knuth, MMIX)
	patternStep   = 1442695040888963407
)

// patternSeed spreads client and sequence over 64 bits: two values that differ in either differ in their first bytes, most likely even
// where there is only one.
func patternSeed(client, sequence uint64) uint64 {
	z := client ^ sequence*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// FillPattern writes the bytes of a value into b.
func FillPattern(b []byte, client, sequence uint64) {
	x := patternSeed(client, sequence)
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, x)
		x = x*patternFactor + patternStep
	}
	for i := range b {
		b[i] = byte(x >> (8 * i))
	}
}

// IsPattern tells whether b is what FillPattern writes.
func IsPattern(b []byte, client, sequence uint64) bool {
	x := patternSeed(client, sequence)
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != x {
			return false
		}
		x = x*patternFactor + patternStep
	}
	for i := range b {
		if b[i] != byte(x>>(8*i)) {
			return false
		}
	}
	return true
}
