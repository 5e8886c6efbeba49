package netlab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
)

// Lab is a handle on a running lab. Its methods may be called from several goroutines.
type Lab struct {
	name   string
	hosts  []Host
	direct bool

	using  sync.RWMutex // held for reading while tables are used, for writing while they are closed
	tables *tables      // nil for a direct pair, and once closed

	mu        sync.Mutex
	owner     bool // this handle came from Up and was not detached
	closed    bool
	spawner   *spawner
	processes map[*Process]struct{}
	server    *delayServer
	unwatch   func() bool // stops watching Up's context

	releasing, removing sync.Once
	released, removed   error
}

// Open returns a handle on a lab that another process has built. Close it after use.
func Open(name string) (*Lab, error) {
	s, err := readState(name)
	if err != nil {
		return nil, err
	}
	if s.stale() {
		return nil, fmt.Errorf("lab %s: its owner, process %d, died: take it down", name, s.Owner.PID)
	}
	if s.Phase != PhaseUp && s.Phase != PhaseDetached {
		return nil, fmt.Errorf("lab %s: it is %s", name, s.Phase)
	}
	lab := &Lab{name: name, hosts: s.Hosts, direct: s.Direct, processes: make(map[*Process]struct{})}
	if !s.Direct {
		if lab.tables, err = openSwitch(name); err != nil {
			return nil, fmt.Errorf("lab %s: %w", name, err)
		}
	}
	return lab, nil
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.name }

// Hosts lists the hosts in the order of the spec.
func (l *Lab) Hosts() []Host { return slices.Clone(l.hosts) }

// Host finds a host by its name.
func (l *Lab) Host(name string) (Host, error) {
	slot, err := l.slot(name)
	if err != nil {
		return Host{}, err
	}
	return l.hosts[slot], nil
}

// Direct tells whether the lab is one veth pair without a switch.
func (l *Lab) Direct() bool { return l.direct }

// slot finds a host's cell in the switch's tables.
func (l *Lab) slot(host string) (int, error) {
	slot := slices.IndexFunc(l.hosts, func(h Host) bool { return h.Name == host })
	if slot < 0 {
		return 0, fmt.Errorf("lab %s has no host %q", l.name, host)
	}
	return slot, nil
}

// Do runs fn on a thread inside a host's namespace: sockets that fn opens belong to the host. fn must not start goroutines that need
// the namespace: they run elsewhere.
func (l *Lab) Do(host string, fn func() error) error {
	slot, err := l.slot(host)
	if err != nil {
		return err
	}
	return inNamespace(l.hosts[slot].Namespace, fn)
}

// Output runs a program in a host's namespace and returns what it wrote to its standard output.
func (l *Lab) Output(ctx context.Context, host, name string, args ...string) ([]byte, error) {
	var out sink
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout = &out
	err := l.Run(host, cmd)
	return out, err
}

type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// Detach leaves the lab running without an owner. Forwarding and the faults go on, but for delays, which need a process that calls
// Serve: until then they stay in the ring, and once it is full frames pass undelayed. The handle stays good; its own processes still
// end with Close, or with this process.
func (l *Lab) Detach() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.owner || l.closed {
		return fmt.Errorf("lab %s: only its owner can detach it, and only while it is up", l.name)
	}
	err := update(l.name, func(s *state) error {
		s.Phase, s.Owner, s.Server = PhaseDetached, identity{}, identity{}
		return nil
	})
	if err != nil {
		return err
	}
	l.unwatch()
	l.owner = false
	forget(l.name)
	if l.server != nil {
		err = l.server.stop()
		l.server = nil
	}
	return err
}

func forget(name string) {
	owned.Lock()
	defer owned.Unlock()
	delete(owned.labs, name)
}

// Close gives the handle back: the processes that were started through it end, the lab stays. For its owner it is Down.
func (l *Lab) Close() error {
	l.mu.Lock()
	owner := l.owner
	l.mu.Unlock()
	if owner {
		return l.Down()
	}
	return l.release()
}

// Down ends the lab's processes and removes all of it. A second call waits for the first and returns the same.
func (l *Lab) Down() error {
	l.removing.Do(func() {
		l.mu.Lock()
		owner := l.owner
		l.mu.Unlock()
		err := l.release()
		if owner {
			l.unwatch()
			forget(l.name)
			l.removed = errors.Join(err, removeOwned(l.name))
		} else {
			if l.removed = Down(l.name); errors.Is(l.removed, ErrNotFound) {
				l.removed = nil // someone was faster
			}
			l.removed = errors.Join(err, l.removed)
		}
	})
	return l.removed
}

// release ends what this process has of the lab: its processes, server and descriptors. A second call waits for the first.
func (l *Lab) release() error {
	l.releasing.Do(func() {
		l.mu.Lock()
		l.closed = true
		server, threads := l.server, l.spawner
		l.server, l.spawner = nil, nil
		l.mu.Unlock()
		l.endProcesses()
		if threads != nil {
			threads.close()
		}
		if server != nil {
			l.released = server.stop()
		}
		l.using.Lock()
		defer l.using.Unlock()
		if l.tables != nil {
			l.tables.close()
			l.tables = nil
		}
	})
	return l.released
}
