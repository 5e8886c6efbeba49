package crc32c

import "golang.org/x/sys/cpu"

var accelerated = cpu.X86.HasSSE42 && cpu.X86.HasPCLMULQDQ

// Lanes are of at most mostWords words each: longer data is cut.
const mostWords = 62

// shiftTable has in place n what moves a check over n words of zeros: x to the power of 64n-33, reflected as all of it is. (The product of two
// reflected numbers lies one bit too low, and the instruction that reduces it moves it by another 32.)
type shiftTable [2*mostWords + 2]uint32

var shifts = makeShifts()

// polynomial is Castagnoli's, reflected.
const polynomial = 0x82f63b78

func makeShifts() (t shiftTable) {
	power := uint32(1) << 31 // x to the power of 0
	for exponent := 1; exponent <= 64*(len(t)-1)-33; exponent++ {
		power = power>>1 ^ polynomial*(power&1)
		if (exponent+33)%64 == 0 {
			t[(exponent+33)/64] = power
		}
	}
	return t
}

// update is Update. It reads data and nothing past it.
//
//go:noescape
func update(crc uint32, data []byte, shifts *shiftTable) uint32
