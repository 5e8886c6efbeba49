package dataplane

import (
	"os"
	"slices"
	"strings"
	"testing"
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

// What is allocated before is to lie in huge pages once it is used.
func TestPreferHugePages(t *testing.T) {
	mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(mode), "[never]") {
		t.Skip("this kernel has no transparent huge pages, or they are off")
	}
	block := make([]byte, 64<<20)
	if err := PreferHugePages(); err != nil {
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
