package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"wirepaxos/tools/vmlab/script"
)

// programs are what the guest runs, and how each is built: static, without what only a debugger reads.
var programs = []struct {
	name string // in the guest
	args []string
}{
	{"/init", []string{"build", "./tools/vmlab/guest"}},
	{"/bin/nictest", []string{"test", "-c", "./tools/vmlab/nictest"}},
	{"/bin/wirepaxos", []string{"build", "./cmd/wirepaxos"}},
}

// buildInitramfs writes all that the guest has into a file in folder, and names it.
func buildInitramfs(ctx context.Context, folder string, k *kit, s *script.Script) (string, error) {
	var b bytes.Buffer
	a := &archive{out: &b}
	for _, name := range []string{"bin", "dev", "etc", "lib", "proc", "run", "sys", "tmp"} {
		a.folder(name)
	}
	a.device("dev/console", 5, 1) // process 1 begins with it as standard input and output
	for _, p := range programs {
		built := filepath.Join(folder, filepath.Base(p.name))
		content, err := build(ctx, built, p.args)
		if err != nil {
			return "", err
		}
		a.file(p.name[1:], 0o755, content)
	}
	for _, name := range modules {
		content, err := os.ReadFile(k.module(name))
		if err != nil {
			return "", err
		}
		file := "/lib/" + filepath.Base(k.module(name))
		a.file(file[1:], 0o644, content)
		s.Modules = append(s.Modules, file)
	}
	a.file("etc/cluster.toml", 0o644, []byte(clusterFile()))
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	a.file(script.File[1:], 0o644, text)
	if err := a.close(); err != nil {
		return "", err
	}
	image := filepath.Join(folder, "initramfs")
	return image, os.WriteFile(image, b.Bytes(), 0o644)
}

// build runs the go command for a program of this module, which the working directory is in.
func build(ctx context.Context, output string, args []string) ([]byte, error) {
	last := len(args) - 1
	full := append(append([]string{}, args[:last]...), "-trimpath", "-ldflags", "-s -w", "-o", output, args[last])
	cmd := exec.CommandContext(ctx, "go", full...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go %s %s: %w: %s", args[0], args[last], err, said)
	}
	return os.ReadFile(output)
}
