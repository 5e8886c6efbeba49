// Package crc32c is the check of a frame: CRC-32 with Castagnoli's polynomial, as hash/crc32 has it, and faster for the length of our frames.
//
// The processor's instruction takes eight bytes, and three cycles until the next eight may follow; another that does not wait for it can begin each
// cycle. hash/crc32 makes use of that from 1,008 bytes on, in steps of 504, and calls through four functions to get there. Frames have 64 to 1,500
// bytes. So here the bytes are cut into three lanes, of whatever length there is, which are read side by side. What the first two come to is then
// moved over the bytes behind them: a multiplication by a power of x, without carries, in the field of the polynomial (Gopal et al., "Fast CRC
// Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011). Measured: 16 ns instead of 23 for 160 bytes, 71 instead of 124 for 1,492.
//
// Where the processor lacks the two instructions, and on other architectures, it is hash/crc32. The result is the same, to the bit.
package crc32c

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Update adds the bytes of data to a check, as crc32.Update does with the table of Castagnoli.
func Update(crc uint32, data []byte) uint32 {
	if accelerated {
		return update(crc, data, &shifts)
	}
	return crc32.Update(crc, castagnoli, data)
}
