package bench

import "testing"

func TestStealIsAShare(t *testing.T) {
	now := ReadCPUTimes()
	if now.Total == 0 || now.Steal > now.Total {
		t.Fatalf("read %+v", now)
	}
	if got := StealSince(CPUTimes{}); got < 0 || got > 100 {
		t.Errorf("%v %% of all time since boot was stolen", got)
	}
	if got := StealSince(CPUTimes{Total: now.Total * 2}); got != 0 {
		t.Errorf("%v %% of no time was stolen", got)
	}
}
