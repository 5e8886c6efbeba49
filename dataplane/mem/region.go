package mem

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// All unsafe of the package is here. A view's offsets come from the configuration, never from the memory; they are multiples of 8 from
// a base that is aligned to lineBytes (heap) or a page (mapping), and lie within the region, whose length is layout.bytes.

// lineBytes keeps apart what different cores write: two cache lines, since the prefetcher of common processors fetches pairs.
const lineBytes = 128

const (
	pageBytes   = 4096
	headerBytes = pageBytes
	formMagic   = uint64(0x676e697278617077) // "wpaxring" in memory order
	formVersion = 1
)

// Offsets in the header page. The form is written once, before its magic; each side has a line for each of its words.
const (
	atMagic   = 0
	atForm    = 8  // version, frames, MTU, stride: four words
	atLastGen = 40 // the last generation that was given out; under the start lock
	atSides   = 1024
	sideBytes = 1024

	atGeneration = 0 * lineBytes
	atReady      = 1 * lineBytes
	atSent       = 2 * lineBytes
	atReturned   = 3 * lineBytes
	atAsleep     = 4 * lineBytes
	atPid        = 5 * lineBytes
)

// layout is where things lie in a region: the header, then for each side its descriptors, returns, bitmap and cells.
type layout struct {
	frames, mtu, stride int
	block               int // bytes of one side behind the header
	bytes               int
}

func layoutOf(c Config) layout {
	l := layout{frames: c.Frames, mtu: c.MTU, stride: (c.MTU + 63) &^ 63}
	l.block = (2*8*l.frames + l.frames/8 + l.frames*l.stride + lineBytes + pageBytes - 1) &^ (pageBytes - 1)
	l.bytes = headerBytes + 2*l.block
	return l
}

// form is what the header says of the layout.
func (l layout) form() [4]uint64 {
	return [4]uint64{formVersion, uint64(l.frames), uint64(l.mtu), uint64(l.stride)}
}

// sideView is all that one side writes and the other reads. Only asleep is written by both.
type sideView struct {
	generation *atomic.Uint64 // of the side's present incarnation; 0 while it is gone or about to begin
	ready      *atomic.Uint64 // the session that the side has prepared for
	sent       *atomic.Uint64 // index of descriptors
	returned   *atomic.Uint64 // index of returns
	asleep     *atomic.Uint64 // 1 while the side wants its doorbell rung
	pid        *atomic.Uint64 // for error messages only

	descriptors []uint64 // of the side's own cells, on their way to the peer: length<<32 | cell
	returns     []uint64 // numbers of the peer's cells, on their way back
	held        []uint64 // bitmap: the peer's cells that the side held when it prepared for the session
	cells       []byte   // the side's own cells
}

func (l layout) view(region []byte, side Side) sideView {
	line := region[atSides+int(side)*sideBytes:]
	block := region[headerBytes+int(side)*l.block:][:l.block]
	take := func(bytes int) []byte {
		part := block[:bytes:bytes]
		block = block[bytes:]
		return part
	}
	v := sideView{
		generation: word(line, atGeneration), ready: word(line, atReady), sent: word(line, atSent),
		returned: word(line, atReturned), asleep: word(line, atAsleep), pid: word(line, atPid),
	}
	v.descriptors, v.returns = words(take(8*l.frames)), words(take(8*l.frames))
	v.held = words(take(l.frames / 8))
	// Frames is at least 64, so the bitmap may end amid a line: cells begin on the next one.
	if odd := (l.frames / 8) % lineBytes; odd != 0 {
		take(lineBytes - odd)
	}
	v.cells = take(l.frames * l.stride)
	return v
}

// word is the 8 bytes at an offset that is a multiple of 8; the slice expression checks the bound.
func word(memory []byte, at int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&memory[at : at+8][0]))
}

// words views memory, aligned to 8 bytes and a multiple of 8 long, as words.
func words(memory []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), len(memory)/8)
}

// heapRegion is a region of this process alone, aligned to lineBytes. The collector does not move it; views keep it alive.
func heapRegion(l layout) []byte {
	memory := make([]byte, l.bytes+lineBytes)
	skip := -int(uintptr(unsafe.Pointer(&memory[0]))) & (lineBytes - 1)
	region := memory[skip:][:l.bytes:l.bytes]
	for i := 0; i < len(region); i += pageBytes {
		region[i] = 0 // page faults now, not on the hot path
	}
	return region
}

// ringFD writes one ring. RawSyscall, since a doorbell never blocks; the bytes live on this stack until the call returns.
func ringFD(fd int) {
	one := uint64(1)
	unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}

// quietFD reads the rings that are there: all of an eventfd, 64 of a FIFO, which needs no more than a few.
func quietFD(fd int) {
	var rings [512]byte
	unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&rings)), uintptr(len(rings)))
}
