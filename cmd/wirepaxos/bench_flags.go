package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
)

// benchFlags are the flags that all scenarios share.
type benchFlags struct {
	quick              bool
	rounds             int
	duration, warmup   time.Duration // as given; 0: not
	transport          string
	link, idle, chosen string
	json, out          string
	flags              *pflag.FlagSet

	length     time.Duration // of a measurement
	transports []string      // nil: those of each scenario
	only       *regexp.Regexp
}

// How long runs are and how many of each point there are, unless flags say otherwise.
const (
	usualDuration, quickDuration = time.Second, 300 * time.Millisecond
	usualWarmup, quickWarmup     = 300 * time.Millisecond, 100 * time.Millisecond
	usualRounds, quickRounds     = 5, 2
	maxRounds                    = 1000
)

var allTransports = []string{"afxdp", "udp", "mem"}

func (b *benchFlags) add(f *pflag.FlagSet) {
	b.flags = f
	f.BoolVar(&b.quick, "quick", false, "short runs, fewer of them and fewer points: enough to see that everything works, not to quote")
	f.IntVar(&b.rounds, "rounds", 0, "runs of each point, in turn with those of the others (default 5, or what the scenario says; quick: 2)")
	f.DurationVar(&b.duration, "duration", 0, "how long a run measures (default 1s; quick: 300ms)")
	f.StringVar(&b.chosen, "points", "", "only the points whose name has a match of this regular expression: afxdp-.*-c1$")
	f.StringVar(&b.json, "json", "", "write the result to this file, as one JSON object")
	f.StringVar(&b.out, "out", "", "write into this directory: suite.json, and for each point its latencies as .hgrm and .csv")
}

// addCluster adds those of scenarios that run clusters.
func (b *benchFlags) addCluster(f *pflag.FlagSet) {
	f.DurationVar(&b.warmup, "warmup", 0, "how long a run goes on before it measures (default 300ms; quick: 100ms)")
	f.StringVar(&b.transport, "transport", "", "transports to measure, with commas: afxdp, udp, mem (default: what the scenario is about)")
	f.StringVar(&b.link, "link", "ethernet", "link layer under AF_XDP: ethernet or udp4")
	f.StringVar(&b.idle, "idle", "auto", "what an empty cycle does: spin, yield, backoff, block, auto")
}

// check refuses what cannot be measured, and fills in what was not said.
func (b *benchFlags) check() (err error) {
	given := func(name string) bool { return b.flags.Changed(name) }
	switch {
	case given("rounds") && (b.rounds < 1 || b.rounds > maxRounds):
		return fmt.Errorf("--rounds %d: want 1 to %d", b.rounds, maxRounds)
	case given("duration") && b.duration <= 0, given("warmup") && b.warmup < 0:
		return fmt.Errorf("--duration %v, --warmup %v: want positive times", b.duration, b.warmup)
	}
	if b.length = b.duration; !given("duration") {
		b.length = usualDuration
		if b.quick {
			b.length = quickDuration
		}
	}
	if !given("warmup") {
		b.warmup = usualWarmup
		if b.quick {
			b.warmup = quickWarmup
		}
	}
	if b.transports, err = listOf("transport", b.transport, allTransports); err != nil {
		return err
	}
	if b.only, err = regexp.Compile(b.chosen); err != nil {
		return fmt.Errorf("--points %s is no regular expression: %w", b.chosen, err)
	}
	if b.idle != "" { // else there are no clusters
		if _, err = demoOf([]string{"--link", b.link}); err != nil {
			return err
		}
		if _, err = dataplane.ParseIdle(b.idle); err != nil && b.idle != string(cluster.IdleAuto) {
			return fmt.Errorf("--idle %s: want auto, spin, yield, backoff or block", b.idle)
		}
	}
	return b.checkFiles()
}

// checkFiles refuses at the begin what could not be written at the end.
func (b *benchFlags) checkFiles() error {
	if b.out != "" {
		if err := os.MkdirAll(b.out, 0o755); err != nil {
			return fmt.Errorf("--out %s: %w", b.out, err)
		}
	}
	if b.json == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(b.json)); err != nil || !info.IsDir() {
		return fmt.Errorf("--json %s: there is no directory %s", b.json, filepath.Dir(b.json))
	}
	return nil
}

// listOf reads a list with commas of words that there are; nil for none.
func listOf(flag, text string, known []string) (list []string, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); !slices.Contains(known, word) {
			return nil, fmt.Errorf("--%s %s: %q does not exist: %s", flag, text, word, strings.Join(known, ", "))
		}
		if !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	return list, nil
}

// over are the transports to measure: those that were asked for, else the scenario's own.
func (b *benchFlags) over(own ...string) []string {
	if b.transports == nil {
		return own
	}
	return b.transports
}

// roundsOf is how often a scenario runs each of its points.
func (b *benchFlags) roundsOf(s *scenario) int {
	switch {
	case b.rounds > 0:
		return b.rounds
	case b.quick:
		return quickRounds
	case s.rounds > 0:
		return s.rounds
	}
	return usualRounds
}

// command is the command that makes one scenario alone with these flags.
func (b *benchFlags) command(name string) string {
	w := []string{"wirepaxos", "bench", name}
	b.flags.Visit(func(f *pflag.Flag) {
		switch {
		case f.Name == "json" || f.Name == "out" || f.Name == "only":
		case f.Value.Type() == "bool":
			w = append(w, "--"+f.Name)
		default:
			w = append(w, "--"+f.Name, quoted(f.Value.String()))
		}
	})
	return strings.Join(w, " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_-./:,=+%@", c))
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// write writes the files that were asked for.
func (b *benchFlags) write(s *bench.Suite) error {
	if b.out != "" {
		if err := s.WriteFiles(b.out); err != nil {
			return err
		}
	}
	if b.json != "" {
		return s.WriteJSON(b.json)
	}
	return nil
}
