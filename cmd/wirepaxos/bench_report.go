package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/bench/page"
)

// reportFolder is where a report goes below the folder of its suites, unless a flag says otherwise.
const reportFolder = "report"

func newBenchReport() *cobra.Command {
	var out string
	var alone bool
	c := &cobra.Command{
		Use:   "report DIR|FILE...",
		Short: "Make a page of what was measured: tables, plots, and which bounds are met",
		Long: `Reads what the bench commands wrote with --json or --out and writes one HTML page that needs nothing besides itself, with the bounds that the project
is built for, a section for each scenario, and the machine that it ran on; and every plot as SVG and as PNG. Of a directory, every suite in its *.json and *.json.gz is
taken. It measures nothing.

The report goes to --out: index.html and plots/. Without it, to a folder "report" below the first directory, or beside the first file.`,
		Example: `  wirepaxos bench all --quick --out measured && wirepaxos bench report measured
  wirepaxos bench report all.json peers.json --out page`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("bench report: of what? Name a directory or files that `wirepaxos bench all --out DIR` or --json wrote")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return writeReport(ctx, args, out, alone)
		},
	}
	c.Flags().StringVar(&out, "out", "", `directory to write to (default: "report" below the first directory, or beside the first file)`)
	c.Flags().BoolVar(&alone, "alone", false, "write the page alone, without the plots as files beside it")
	return c
}

// writeReport reads suites and writes their report. What an interruption leaves are whole files.
func writeReport(ctx context.Context, args []string, out string, alone bool) error {
	suites, first, err := readSuites(args)
	if err != nil {
		return err
	}
	if out == "" {
		out = filepath.Join(first, reportFolder)
	}
	if alone {
		return writeReportAlone(suites, out)
	}
	if err := os.MkdirAll(filepath.Join(out, "plots"), 0o755); err != nil {
		return fmt.Errorf("bench report: cannot make %s: %w: name another directory with --out", out, err)
	}
	files, told := 0, time.Now()
	for f, err := range page.Files(suites) {
		if err != nil {
			return fmt.Errorf("bench report: %w", err)
		}
		if ctx.Err() != nil {
			return failed("interrupted: %s has %d files of the report, not all", out, files)
		}
		if err := writeFile(filepath.Join(out, filepath.FromSlash(f.Name)), f.Data); err != nil {
			return fmt.Errorf("bench report: %w", err)
		}
		if files++; time.Since(told) >= time.Second {
			told = time.Now()
			fmt.Printf("%4d files written, now %s\n", files, f.Name)
		}
	}
	fmt.Printf("%s: the report of %d suite(s), with %d files beside it\n", filepath.Join(out, "index.html"), len(suites), files-1)
	return nil
}

// writeReportAlone writes the page and nothing beside it.
func writeReportAlone(suites []*bench.Suite, out string) error {
	index, err := page.Alone(suites)
	if err != nil {
		return fmt.Errorf("bench report: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("bench report: cannot make %s: %w: name another directory with --out", out, err)
	}
	path := filepath.Join(out, "index.html")
	if err := writeFile(path, index); err != nil {
		return fmt.Errorf("bench report: %w", err)
	}
	fmt.Printf("%s: the report of %d suite(s)\n", path, len(suites))
	return nil
}

// writeFile writes a file whole or not at all.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// readSuites reads the suites that arguments name, in the order of the arguments, and says which folder the first is in.
func readSuites(args []string) (suites []*bench.Suite, folder string, err error) {
	var paths []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, "", fmt.Errorf("bench: %w", err)
		}
		if !info.IsDir() {
			paths, folder = append(paths, arg), firstOf(folder, filepath.Dir(arg))
			continue
		}
		found, err := suitesIn(arg)
		if err != nil {
			return nil, "", err
		}
		paths, folder = append(paths, found...), firstOf(folder, arg)
	}
	for i, path := range paths {
		if slices.Contains(paths[:i], path) {
			continue
		}
		s, err := bench.ReadSuite(path)
		if err != nil {
			return nil, "", err
		}
		suites = append(suites, s)
	}
	return suites, folder, nil
}

func firstOf(folder, otherwise string) string {
	if folder != "" {
		return folder
	}
	return otherwise
}

// suitesIn are the JSON files of a directory that are suites; what else there is, is passed over.
func suitesIn(dir string) (paths []string, err error) {
	var files []string
	for _, kind := range []string{"*.json", "*.json.gz"} {
		more, err := filepath.Glob(filepath.Join(escapeGlob(dir), kind))
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", dir, err)
		}
		files = append(files, more...)
	}
	for _, path := range files {
		text, err := bench.ReadText(path)
		if err != nil {
			return nil, err
		}
		var form struct {
			Schema    *int             `json:"schema"`
			Scenarios *json.RawMessage `json:"scenarios"`
		}
		if json.Unmarshal(text, &form) == nil && form.Schema != nil && form.Scenarios != nil {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("bench: %s has no suite among %d JSON files: `wirepaxos bench all --out %s` writes one", dir, len(files), dir)
	}
	return paths, nil
}

// escapeGlob makes a folder's name mean itself in a pattern.
func escapeGlob(dir string) string {
	var b []byte
	for i := range len(dir) {
		if slices.Contains([]byte(`*?[\`), dir[i]) {
			b = append(b, '\\')
		}
		b = append(b, dir[i])
	}
	return string(b)
}
