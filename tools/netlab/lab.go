package netlab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
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

	once   sync.Once
	result error // of Down or Close
}

// owned finds the labs that this process owns, for Down by name.
var owned struct {
	sync.Mutex
	labs map[string]*Lab
}

// Up builds a lab and returns when all its links carry. The caller owns it and must call Down; cancelling ctx calls Down too, but whoever
// ends the process must still wait for it by calling Down. On an error nothing is left behind.
//
// The name of a lab that runs is refused with ErrRunning; that of one whose owner died is cleaned and used.
func Up(ctx context.Context, spec Spec) (lab *Lab, err error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	if err := privileged(); err != nil {
		return nil, fmt.Errorf("lab %s: %w", spec.Name, err)
	}
	me := self()
	s := &state{
		Name: spec.Name, Phase: PhaseBuilding, Created: time.Now(), Owner: me,
		Direct: spec.direct(), MTU: spec.MTU, Hosts: spec.hosts(),
	}
	if err := claim(s); err != nil {
		return nil, err
	}
	lab = &Lab{name: s.Name, hosts: s.Hosts, direct: s.Direct, owner: true, processes: make(map[*Process]struct{})}
	defer func() {
		if lab == nil || lab.unwatch == nil { // failed, or panics
			err = errors.Join(err, s.clean())
		}
	}()
	built := lab
	lab = nil // until it is whole
	if err := built.build(ctx, &spec); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", spec.Name, err), built.release())
	}
	err = update(s.Name, func(s *state) error {
		s.Phase = PhaseUp
		if !s.Direct {
			s.Server = me
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, built.release())
	}
	lab = built
	lab.own(ctx)
	return lab, nil
}

// own registers the lab as this process's and ties it to Up's context. The lock holds back a Down that comes at once.
func (l *Lab) own(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwatch = context.AfterFunc(ctx, func() { _ = l.Down() }) // the owner's own Down returns the same error
	owned.Lock()
	defer owned.Unlock()
	if owned.labs == nil {
		owned.labs = make(map[string]*Lab)
	}
	owned.labs[l.name] = l
}

// build makes namespaces, links and switch, in this order.
func (l *Lab) build(ctx context.Context, spec *Spec) error {
	if err := prepareNamespaceDir(); err != nil {
		return err
	}
	if !l.direct {
		if err := addNamespace(namespaceOf(l.name, switchName)); err != nil {
			return err
		}
	}
	for _, h := range l.hosts {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := addNamespace(h.Namespace); err != nil {
			return err
		}
	}
	var err error
	if l.direct {
		err = l.joinDirectly(spec)
	} else {
		err = l.joinBySwitch(spec)
	}
	if err != nil {
		return err
	}
	for _, h := range l.hosts {
		configure := func() error { return configureHost(h, l.hosts, !l.direct) }
		if err := inNamespace(h.Namespace, configure); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	for _, h := range l.hosts {
		if err := inNamespace(h.Namespace, func() error { return waitUp(ctx, h.Interface) }); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	if l.direct {
		return nil
	}
	waitEnds := func() error {
		for slot := range l.hosts {
			if err := waitUp(ctx, endName(slot)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := inNamespace(namespaceOf(l.name, switchName), waitEnds); err != nil {
		return err
	}
	l.server, err = serveDelays(l.name, l.tables, len(l.hosts))
	return err
}

func (l *Lab) joinDirectly(spec *Spec) error {
	near, far := l.hosts[0], l.hosts[1]
	return inNamespace(near.Namespace, veth{
		near: near.Interface, nearMAC: near.MAC, far: far.Interface, farMAC: far.MAC,
		farNamespace: far.Namespace, mtu: spec.MTU, queues: 1,
	}.add)
}

func (l *Lab) joinBySwitch(spec *Spec) error {
	return inNamespace(namespaceOf(l.name, switchName), func() (err error) {
		for slot, h := range l.hosts {
			pair := veth{
				near: endName(slot), far: h.Interface, farMAC: h.MAC, farNamespace: h.Namespace, mtu: spec.MTU, queues: h.Queues,
			}
			if err := pair.add(); err != nil {
				return err
			}
			if err := plainFrames(endName(slot), false); err != nil {
				return err
			}
		}
		if l.tables, err = buildSwitch(spec, l.hosts); err != nil {
			return err
		}
		for slot := range l.hosts {
			if err := setUp(endName(slot)); err != nil {
				return err
			}
		}
		return nil
	})
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
// Serve. The handle stays good; its own processes still end with Close, or with this process.
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
	l.once.Do(func() { l.result = l.release() })
	return l.result
}

// Down ends the lab's processes and removes all of it. A second call waits for the first and returns the same.
func (l *Lab) Down() error {
	l.once.Do(func() {
		l.mu.Lock()
		owner := l.owner
		l.mu.Unlock()
		l.result = l.release()
		if !owner {
			l.result = errors.Join(l.result, Down(l.name))
			return
		}
		l.unwatch()
		forget(l.name)
		l.result = errors.Join(l.result, removeOwned(l.name))
	})
	return l.result
}

// release ends what this process has of the lab: its processes, server and descriptors.
func (l *Lab) release() error {
	l.mu.Lock()
	l.closed = true
	server, threads := l.server, l.spawner
	l.server, l.spawner = nil, nil
	l.mu.Unlock()
	l.endProcesses()
	var err error
	if threads != nil {
		threads.close()
	}
	if server != nil {
		err = server.stop()
	}
	l.using.Lock()
	defer l.using.Unlock()
	if l.tables != nil {
		l.tables.close()
		l.tables = nil
	}
	return err
}

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

	for _, namespace := range s.namespaces() {
		err := inNamespace(namespace, func() error {
			if s.Direct || namespace != namespaceOf(s.Name, switchName) {
				return removeLink(Interface)
			}
			for slot := range s.Hosts {
				if err := removeLink(endName(slot)); err != nil {
					return err
				}
			}
			return nil
		})
		// ENOENT, EINVAL: it was never made, or its file never became a mount.
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			faults = append(faults, err)
		}
		faults = append(faults, removeNamespace(namespace))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("lab %s: %w", s.Name, err)
	}
	return locked(func() error { return removeFile(statePath(s.Name)) })
}
