package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"time"
)

// What make zerocopy may take: for packages that are not in its cache, and for its virtual machines. On an idle machine with the packages it is two
// minutes in all.
const (
	packagesTimeout = 4 * time.Minute
	machineTimeout  = 6 * time.Minute
)

// checkZeroCopy runs make zerocopy (tools/vmlab) and repeats what it tells. What cannot be had here that command tells in lines of its own.
func checkZeroCopy(ctx context.Context, r *report, program string, args ...string) {
	const name = "zerocopy"
	if ctx.Err() != nil {
		return // said at the end
	}
	if os.Getenv("WIREPAXOS_VMLAB") == "0" {
		r.skip(name, "switched off by WIREPAXOS_VMLAB=0")
		return
	}
	cmd := command(ctx, program, args...)
	lines, complaints, err := start(cmd)
	if err != nil {
		r.fail(name, err.Error()+"\n")
		return
	}
	skipped := repeat(r, name, lines)
	switch err := cmd.Wait(); {
	case err != nil:
		r.fail(name, complaints.String()+err.Error()+"\n")
	case skipped != "":
		r.skip(name, skipped)
	default:
		r.pass(name)
	}
}

// repeat tells the lines as they come, and gives the reason why all was skipped, if it was. A line "skip  WHAT: WHY" is a part that was.
func repeat(r *report, name string, lines io.Reader) (skipped string) {
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		line := scanner.Text()
		if reason, ok := strings.CutPrefix(line, "skipped: "); ok {
			skipped = reason
			continue
		}
		if part, ok := strings.CutPrefix(line, "skip  "); ok {
			what, why, _ := strings.Cut(part, ": ")
			r.skip(name+", "+what, why)
			continue
		}
		r.say("...   %s: %s", name, line)
	}
	return skipped
}
