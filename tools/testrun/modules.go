package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// modules are folders of the repository that are modules of their own: what they build on, the product does not.
var modules = []string{"bench/peers"}

// What a module of its own may take: until everything that it builds on is there, and for its tests.
const (
	fetchTimeout  = 5 * time.Minute
	moduleTimeout = 3 * time.Minute
)

// unreachable is what the go command says where a module is not at hand and cannot be had.
var unreachable = regexp.MustCompile(`(?i)dial tcp|no such host|i/o timeout|connection re|network is|TLS|x509|\b(403|404|410|50\d) |module lookup disabled|proxy`)

// runModule checks and tests a module, or says why its dependencies are not there.
func runModule(ctx context.Context, r *report, folder string) {
	if ctx.Err() != nil {
		return // said at the end
	}
	home, err := os.Getwd()
	if err == nil {
		err = os.Chdir(folder)
	}
	if err != nil {
		r.fail(folder, err.Error()+"\n")
		return
	}
	defer func() {
		if err := os.Chdir(home); err != nil {
			r.fail(folder, err.Error()+"\n")
		}
	}()
	fetching, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var complaints bytes.Buffer
	list := command(fetching, "go", "list", "-deps", "-test", "./...")
	list.Stderr = &complaints
	err = list.Run()
	switch output := complaints.Bytes(); {
	case err == nil:
	case errors.Is(fetching.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
		r.skip(folder, fmt.Sprintf("what it builds on was not there and not fetched within %v", fetchTimeout))
		return
	case unreachable.Match(output):
		r.skip(folder, "what it builds on is not there and cannot be fetched: "+lastLine(output))
		return
	default:
		r.fail(folder+": go list", fmt.Sprintf("%s%v\n", output, err))
		return
	}
	checkFormat(ctx, r, folder+": gofmt")
	checkCommand(ctx, r, folder+": go vet", "go", "vet", "./...")
	if tool := findTool(ctx, "golangci-lint"); tool != "" {
		checkCommand(ctx, r, folder+": golangci-lint", tool, "run", "--allow-parallel-runners", "./...")
	}
	runTests(ctx, r, "", []string{"-timeout", moduleTimeout.String(), "./..."})
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
