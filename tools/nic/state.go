package nic

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"wirepaxos/dataplane/netdev"
)

// state is what one interface was like before we changed it.
type state struct {
	Interface string    `json:"interface"`
	Index     int       `json:"index"`
	MAC       string    `json:"mac"`
	Namespace uint64    `json:"namespace"`
	Boot      string    `json:"boot"`
	Began     time.Time `json:"began"`
	Old       []kept    `json:"old"` // in the order of the changes; each setting once
}

// kept is a setting and the value that it had before our first change of it.
type kept struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
}

func bootID() string {
	id, err := netdev.ReadText("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return id
}

func newState(l netlink.Link) *state {
	a := l.Attrs()
	return &state{Interface: a.Name, Index: a.Index, MAC: a.HardwareAddr.String(), Namespace: networkNamespace(), Boot: bootID(), Began: time.Now().UTC()}
}

// isOf says why the state is not of this interface: then its settings are gone, and putting them back would be wrong.
func (s *state) isOf(l netlink.Link) error {
	a := l.Attrs()
	switch {
	case s.Boot != bootID():
		return errors.New("the machine has been started anew since")
	case s.Index != a.Index || s.Namespace != networkNamespace():
		return fmt.Errorf("%s is another interface now (index %d, was %d)", a.Name, a.Index, s.Index)
	}
	return nil
}

func (s *state) has(setting string) bool {
	return slices.ContainsFunc(s.Old, func(k kept) bool { return k.Setting == setting })
}

// keep notes the old value of a setting, and tells whether it is the first time.
func (s *state) keep(setting, value string) bool {
	if s.has(setting) {
		return false
	}
	s.Old = append(s.Old, kept{Setting: setting, Value: value})
	return true
}

func (s *state) drop(setting string) {
	s.Old = slices.DeleteFunc(s.Old, func(k kept) bool { return k.Setting == setting })
}

func (p Places) statePath(name string) string {
	return filepath.Join(p.State, fmt.Sprintf("%s@net%d.json", name, networkNamespace()))
}

// readState reads what is kept of an interface; nil: nothing.
func (p Places) readState(name string) (*state, error) {
	path := p.statePath(name)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the old settings: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s has no old settings that can be read (%w): look at it, and remove it", path, err)
	}
	return s, nil
}

// writeState replaces the file whole, and returns when it will survive a crash of this process and of the machine.
func (p Places) writeState(s *state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := p.statePath(s.Interface)
	if err := writeSynced(path, append(text, '\n')); err != nil {
		return fmt.Errorf("keep the old settings: %w", err)
	}
	return nil
}

func (p Places) removeState(name string) error {
	err := os.Remove(p.statePath(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old settings: %w", err)
	}
	return nil
}

// writeSynced writes a file beside the one of that name, syncs it, puts it in its place, and syncs the folder.
func writeSynced(path string, text []byte) error {
	folder, name := filepath.Split(path)
	f, err := os.CreateTemp(folder, name+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
