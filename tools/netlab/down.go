package netlab

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// removeOwned removes a lab that this process owns or has seized.
func removeOwned(name string) error {
	var s *state
	err := update(name, func(now *state) error {
		now.Phase = PhaseRemoving
		s = now
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil // someone was faster
	}
	if err != nil {
		return err
	}
	return s.clean()
}

// ownerGrace is how long an owner may take to take its lab down when another process asks it to.
const ownerGrace = 10 * time.Second

// Down takes down a lab by its name, whoever owns it: an owner that lives is asked to end (SIGTERM, later SIGKILL); then what is left is
// removed. ErrNotFound if there is no such lab.
func Down(name string) error {
	owned.Lock()
	mine := owned.labs[name]
	owned.Unlock()
	if mine != nil {
		return mine.Down()
	}
	s, err := readState(name)
	if err != nil {
		return err
	}
	if s.Owner == self() {
		return fmt.Errorf("lab %s: this process is %s it", name, s.Phase)
	}
	if err := s.Owner.end(ownerGrace, false); err != nil {
		return fmt.Errorf("lab %s: its owner: %w", name, err)
	}
	err = update(name, func(now *state) error {
		if now.Phase != PhaseDetached && !now.stale() {
			return fmt.Errorf("lab %s: process %d has taken it over", name, now.Owner.PID)
		}
		now.Owner, now.Phase = self(), PhaseRemoving
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil // the owner did it
	}
	if err != nil {
		return err
	}
	return removeOwned(name)
}

// clean removes what a state file tells of, and last the file. What cannot be removed keeps the file, for the next try.
func (s *state) clean() error {
	var ending sync.WaitGroup
	faults := make([]error, len(s.Processes)+1)
	for i, p := range s.Processes {
		ending.Go(func() { faults[i] = p.end(endGrace, true) })
	}
	ending.Go(func() { faults[len(s.Processes)] = s.Server.end(endGrace, false) })
	ending.Wait()

	// A link takes its peer and the programs on both with it, at once; a namespace that ends would do so in its own time.
	for _, host := range s.Hosts {
		err := inNamespace(host.Namespace, func() error { return removeLink(host.Interface) })
		// ENOENT, EINVAL: it was never made, or its file never became a mount.
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			faults = append(faults, err)
		}
	}
	for _, namespace := range s.namespaces() {
		faults = append(faults, removeNamespace(namespace))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("lab %s: %w", s.Name, err)
	}
	return locked(func() error { return removeFile(statePath(s.Name)) })
}
