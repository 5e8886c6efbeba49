// Command lint checks the project's own style: what gofmt, vet and the general linters do not know. It reads the repository from the
// current folder upwards to its go.mod, prints each fault as path:line: text, and exits with status 1 if there is one.
//
// The same rules run as a test of this package, so that `go test ./...` finds what this command finds.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root, err := findRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	faults, err := check(os.DirFS(root))
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	for _, f := range faults {
		fmt.Println(f)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// findRoot is the nearest folder upwards that holds go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above: run it in the repository", start)
		}
	}
}
