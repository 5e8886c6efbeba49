//go:build !amd64

package main

import (
	"context"
	"fmt"
	"runtime"
)

// steps counts on amd64 alone: another processor has other instructions, and what was kept says nothing about them.
func steps(context.Context, *testBinary, string, int) (int, error) {
	return 0, fmt.Errorf("%w: instructions are counted on amd64, this is %s", errNoTrace, runtime.GOARCH)
}
