package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// result is what became of one mutant: the outcome of the profile that caught it, or of the last one.
type result struct {
	mutant *mutant
	outcome
}

func (r *result) String() string {
	switch {
	case r.caught && r.checker == "panic":
		return fmt.Sprintf("caught by panic, profile %s, after %.1f s", r.profile, r.took.Seconds())
	case r.caught:
		return fmt.Sprintf("caught by %s, profile %s, seed %d, after %d seeds and %.1f s", r.checker, r.profile, r.seed, r.seeds, r.took.Seconds())
	case r.note != "":
		return fmt.Sprintf("SURVIVED: profile %s, %s", r.profile, r.note)
	}
	return fmt.Sprintf("SURVIVED %d seeds of each of %s, %.1f s", r.mutant.seeds, strings.Join(r.mutant.profiles, ", "), r.took.Seconds())
}

// runTrue builds the true version and wants each profile to pass.
func (w *workshop) runTrue(ctx context.Context, all []mutant, workers int) error {
	binary, err := w.build(ctx, nil)
	if err != nil {
		return err
	}
	most := make(map[string]int)
	var profiles, budget []string
	for _, m := range all {
		for _, profile := range m.profiles {
			if most[profile] == 0 {
				profiles = append(profiles, profile)
			}
			most[profile] = max(most[profile], m.seeds)
		}
	}
	slices.Sort(profiles)
	for _, profile := range profiles {
		budget = append(budget, fmt.Sprintf("%d of %s", most[profile], profile))
	}
	fmt.Printf("budget of %d mutants: at most %d seeds of each profile that their files name, %v each; of the true version %s\n",
		len(all), slices.Max(slices.Collect(maps.Values(most))), w.patience, strings.Join(budget, ", "))
	errs := make([]error, len(profiles))
	var group sync.WaitGroup
	turns := make(chan struct{}, workers)
	for i, profile := range profiles {
		turns <- struct{}{}
		group.Go(func() {
			errs[i] = w.pass(ctx, binary, profile, most[profile])
			<-turns
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// pass wants the true version to pass seeds of a profile.
func (w *workshop) pass(ctx context.Context, binary, profile string, seeds int) error {
	o, err := w.simulate(ctx, binary, profile, seeds)
	switch {
	case err != nil:
		return err
	case o.caught:
		return fmt.Errorf("the true version fails: %s at seed %d of profile %s: that comes first", o.checker, o.seed, profile)
	case o.note != "":
		return fmt.Errorf("the true version, profile %s: %s: give it more -patience", profile, o.note)
	}
	fmt.Printf("the true version passes %d seeds of %s in %.1f s\n", o.seeds, profile, o.took.Seconds())
	return nil
}

// runAll runs the mutants, some at once, and tells of each as it ends.
func (w *workshop) runAll(ctx context.Context, all []mutant, workers int) ([]result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]result, len(all))
	next := make(chan int)
	var (
		done  sync.Mutex // over what follows, and the output
		count int
		first error
		group sync.WaitGroup
	)
	for range workers {
		group.Go(func() {
			for i := range next {
				o, err := w.runOne(ctx, &all[i])
				done.Lock()
				count++
				results[i] = result{&all[i], o}
				if err != nil && first == nil {
					first = err
					cancel()
				} else if err == nil {
					fmt.Printf("[%2d/%d] %s: %v\n", count, len(all), all[i].name, &results[i])
				}
				done.Unlock()
			}
		})
	}
	for i := range all {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	group.Wait()
	if first == nil && ctx.Err() != nil {
		first = errInterrupted
	}
	return results, first
}

// runOne builds a mutant and tries its profiles in turn.
func (w *workshop) runOne(ctx context.Context, m *mutant) (o outcome, err error) {
	binary, err := w.build(ctx, m)
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(filepath.Dir(binary)) // each is several megabytes
	var took time.Duration
	seeds := 0
	for _, profile := range m.profiles {
		if o, err = w.simulate(ctx, binary, profile, m.seeds); err != nil {
			return o, err
		}
		took, seeds = took+o.took, seeds+o.seeds
		o.took, o.seeds = took, seeds
		if o.caught {
			break
		}
	}
	return o, nil
}

// printTable prints all results and their sum, and returns how many survived.
func printTable(out io.Writer, results []result, took time.Duration) (survived int) {
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "mutant\tbreaks\tcaught by\tprofile\tseed\tseeds\tseconds")
	for _, r := range results {
		by, seed := r.checker, fmt.Sprint(r.seed)
		if !r.caught {
			by, seed = "SURVIVED", "-"
			survived++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%.1f\n", r.mutant.name, r.mutant.rule, by, r.profile, seed, r.seeds, r.took.Seconds())
	}
	t.Flush()
	for _, r := range results {
		if !r.caught {
			fmt.Fprintf(out, "\n%s survived: %s\n", r.mutant.name, r.mutant.what)
		}
	}
	seeds := 0
	for _, r := range results {
		seeds += r.seeds
	}
	fmt.Fprintf(out, "\n%d seeds of mutants, %.0f s in all with building and the true version\n", seeds, took.Seconds())
	fmt.Fprintf(out, "\n%d caught, %d survived\n", len(results)-survived, survived)
	return survived
}
