package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stateDir holds a file per lab. It lies under /run, so that a reboot, which takes the labs away, takes their files too.
const stateDir = "/run/wirepaxos/lab"

// ErrNotFound is the answer for a lab that does not exist.
var ErrNotFound = errors.New("no such lab")

// ErrRunning is the answer to Up for a lab that exists.
var ErrRunning = errors.New("runs already")

// Phases of a lab, as the state file and Status have them.
const (
	PhaseBuilding = "building" // Up has begun
	PhaseUp       = "up"       // its owner has it
	PhaseDetached = "detached" // it is left running without an owner
	PhaseRemoving = "removing" // Down has begun
	PhaseStale    = "stale"    // its owner died: Down or the next Up cleans it; never in the file
)

// state is what the state file says about a lab.
type state struct {
	Name      string     `json:"name"`
	Phase     string     `json:"phase"`
	Created   time.Time  `json:"created"`
	Owner     identity   `json:"owner"`  // zero when detached
	Server    identity   `json:"server"` // who serves delays; zero if no one
	Direct    bool       `json:"direct"` // one pair, no switch
	MTU       int        `json:"mtu"`
	Hosts     []Host     `json:"hosts"`
	Processes []recorded `json:"processes"`
}

// recorded is a process that Start started and that has not been seen to end.
type recorded struct {
	identity
	Host    string `json:"host"`
	Command string `json:"command"`
}

// stale tells whether nobody is responsible for the lab any more.
func (s *state) stale() bool { return s.Phase != PhaseDetached && !s.Owner.alive() }

// namespaces lists the namespaces that the lab has or was about to make.
func (s *state) namespaces() []string {
	var names []string
	if !s.Direct {
		names = append(names, namespaceOf(s.Name, switchName))
	}
	for _, h := range s.Hosts {
		names = append(names, h.Namespace)
	}
	return names
}

func statePath(lab string) string { return filepath.Join(stateDir, lab+".json") }

// locked runs fn while no other process, and no other call, changes a state file. The lock is on the directory, so it leaves no file.
func locked(fn func() error) error {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return fmt.Errorf("directory of labs: %w", err)
	}
	dir, err := os.Open(stateDir)
	if err != nil {
		return fmt.Errorf("directory of labs: %w", err)
	}
	defer func() { _ = dir.Close() }() // which also unlocks
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", stateDir, err)
	}
	return fn()
}

// readState reads a lab's file: ErrNotFound if there is none.
func readState(lab string) (*state, error) {
	raw, err := os.ReadFile(statePath(lab))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lab %s: %w", lab, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", lab, err)
	}
	s := new(state)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("lab %s: %s is damaged (remove it and the namespaces wp-%s-*): %w", lab, statePath(lab), lab, err)
	}
	return s, nil
}

// write replaces the lab's file as a whole. Call it locked.
func (s *state) write() error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("lab %s: state: %w", s.Name, err)
	}
	temporary := statePath(s.Name) + ".new" // the lock makes it ours alone
	if err := os.WriteFile(temporary, append(raw, '\n'), 0o644); err != nil {
		return errors.Join(fmt.Errorf("lab %s: write its state: %w", s.Name, err), removeFile(temporary))
	}
	if err := os.Rename(temporary, statePath(s.Name)); err != nil {
		return errors.Join(fmt.Errorf("lab %s: write its state: %w", s.Name, err), removeFile(temporary))
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// update changes a lab's file, which must be there.
func update(lab string, change func(*state) error) error {
	return locked(func() error {
		s, err := readState(lab)
		if err != nil {
			return err
		}
		if err := change(s); err != nil {
			return err
		}
		return s.write()
	})
}

// claim makes the caller the owner of a lab that does not exist yet. A stale lab of that name is cleaned first.
func claim(s *state) error {
	for {
		var old *state
		err := locked(func() (err error) {
			old, err = readState(s.Name)
			if err == nil {
				return old.seize()
			}
			if !errors.Is(err, ErrNotFound) {
				return err
			}
			for _, name := range s.namespaces() {
				if _, err := os.Lstat(namespacePath(name)); err == nil {
					return fmt.Errorf("lab %s: namespace %s is there and belongs to no lab: remove it with `ip netns del %s`",
						s.Name, name, name)
				}
			}
			return s.write()
		})
		if err != nil || old == nil {
			return err
		}
		if err := old.clean(); err != nil {
			return fmt.Errorf("clean up after a lab whose owner died: %w", err)
		}
	}
}

// seize takes over a stale lab, so that only one process cleans it. Call it locked.
func (s *state) seize() error {
	switch {
	case s.Phase == PhaseDetached:
		return fmt.Errorf("lab %s: %w, detached: take it down first", s.Name, ErrRunning)
	case !s.stale():
		return fmt.Errorf("lab %s: %w, owned by process %d: take it down first", s.Name, ErrRunning, s.Owner.PID)
	}
	s.Owner, s.Phase = self(), PhaseRemoving
	return s.write()
}

// Status is what is known of a lab from outside.
type Status struct {
	Name      string
	Phase     string // one of the Phase constants
	Created   time.Time
	Owner     int  // process; 0 when detached
	Server    int  // process that serves delays; 0 if there is none
	Direct    bool // one veth pair, no switch
	MTU       int
	Hosts     []Host
	Processes []ProcessStatus // those that still run
}

// ProcessStatus is a process that was started in a lab.
type ProcessStatus struct {
	PID     int
	Host    string
	Command string
}

func (s *state) status() Status {
	status := Status{
		Name: s.Name, Phase: s.Phase, Created: s.Created, Owner: s.Owner.PID, Direct: s.Direct, MTU: s.MTU, Hosts: s.Hosts,
	}
	if s.stale() {
		status.Phase = PhaseStale
	}
	if s.Server.alive() {
		status.Server = s.Server.PID
	}
	for _, p := range s.Processes {
		if p.alive() {
			status.Processes = append(status.Processes, ProcessStatus{PID: p.PID, Host: p.Host, Command: p.Command})
		}
	}
	return status
}

// List tells of every lab on this machine, in the order of their names, whoever owns them. A file that cannot be read is an error
// beside the labs that can.
func List() ([]Status, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("directory of labs: %w", err)
	}
	var labs []Status
	var faults []error
	for _, entry := range entries {
		name, isState := strings.CutSuffix(entry.Name(), ".json")
		if !isState {
			continue
		}
		s, err := readState(name)
		if errors.Is(err, ErrNotFound) {
			continue // taken down since
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		labs = append(labs, s.status())
	}
	return labs, errors.Join(faults...)
}
