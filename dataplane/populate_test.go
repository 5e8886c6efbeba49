package dataplane

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Only memory without a file is asked about, and only what covers whole huge pages.
func TestAnonymousMemory(t *testing.T) {
	const maps = `00400000-00c00000 r-xp 00000000 fe:01 393 /bin/wirepaxos
00c00000-02a00000 rw-p 00000000 00:00 0
7000001000-7000a01000 rw-p 00000000 00:00 0 [anon: Go: heap]
7001000000-70011ff000 rw-p 00000000 00:00 0
7002000000-7004000000 ---p 00000000 00:00 0
7005000000-7007000000 rw-s 00000000 00:01 77 /dev/shm/wirepaxos-ring
7008000000-700a000000 rw-p 00000000 fe:01 393 /bin/wirepaxos
damaged
`
	want := []span{{0xc00000, 0x2a00000}, {0x7000200000, 0x7000a00000}}
	if got := anonymousMemory(strings.NewReader(maps)); !slices.Equal(got, want) {
		t.Errorf("got %#x, want %#x", got, want)
	}
}

// What is allocated is there before it is used.
func TestPopulateMemory(t *testing.T) {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(page); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Madvise(page, unix.MADV_POPULATE_WRITE); err != nil {
		t.Skipf("this kernel does not populate memory: %v", err)
	}
	block := make([]byte, 64<<20)
	resident := func() (pages int) {
		in := make([]byte, len(block)/os.Getpagesize())
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&block[0])), uintptr(len(block)), uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
			t.Skip(errno)
		}
		for _, p := range in {
			pages += int(p & 1)
		}
		return pages
	}
	before := resident()
	if err := PopulateMemory(); err != nil {
		t.Fatal(err)
	}
	// The ends of the block may share their huge pages with memory of the runtime's own.
	if all, least := resident(), (len(block)-2*hugePage)/os.Getpagesize(); all < least {
		t.Errorf("%d of %d pages are there, before %d: want at least %d", all, len(block)/os.Getpagesize(), before, least)
	}
	runtime.KeepAlive(block)
}

// It is to lie in huge pages, where there are any.
func TestPopulateAsksForHugePages(t *testing.T) {
	mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(mode), "[never]") {
		t.Skip("this kernel has no transparent huge pages, or they are off")
	}
	block := make([]byte, 64<<20)
	if err := PopulateMemory(); err != nil {
		t.Fatal(err)
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	// Whether there are huge pages to be had is the kernel's business; that it was asked shows in the flags.
	asked := false
	for line := range strings.Lines(string(smaps)) {
		asked = asked || strings.HasPrefix(line, "VmFlags:") && slices.Contains(strings.Fields(line), "hg")
	}
	if !asked {
		t.Error("the kernel was asked for huge pages nowhere")
	}
	block[4096] = 1
}
