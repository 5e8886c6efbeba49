package netlab

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endGrace is how long a process may take to end after SIGTERM before it is killed.
const endGrace = 2 * time.Second

// Process is a program that runs in a host's namespace.
type Process struct {
	Host string
	PID  int

	lab  *Lab
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed

	mu     sync.Mutex
	exited bool // from then on its number may mean another process
}

// Start starts cmd in a host's namespace. The program gets a process group of its own and is killed if this process dies; when it ends,
// what is left of its group is killed too. Set what you like in cmd but leave its Start, Wait and output pipes alone: to read
// the output, give cmd.Stdout a writer. A program that shall read from a terminal needs SysProcAttr.Foreground.
func (l *Lab) Start(host string, cmd *exec.Cmd) (*Process, error) {
	slot, err := l.slot(host)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("lab %s: it is down: nothing can be started", l.name)
	}
	if l.spawner == nil {
		l.spawner = newSpawner()
	}
	if err := l.spawner.start(l.hosts[slot].Namespace, cmd); err != nil {
		return nil, fmt.Errorf("lab %s, host %s: start %s: %w", l.name, host, cmd.Path, err)
	}
	p := &Process{Host: host, PID: cmd.Process.Pid, lab: l, cmd: cmd, done: make(chan struct{})}
	l.processes[p] = struct{}{}
	record := recorded{identity: identify(p.PID), Host: host, Command: filepath.Base(cmd.Path)}
	err = update(l.name, func(s *state) error {
		s.Processes = append(s.Processes, record)
		return nil
	})
	go p.watch(record.identity)
	if err != nil { // the lab was taken down by someone else: its namespace is a leftover
		p.signal(unix.SIGKILL)
		return nil, fmt.Errorf("host %s: record process %d: %w", host, p.PID, err)
	}
	return p, nil
}

// Run starts cmd in a host's namespace and waits for its end. The error is that of exec.Cmd.Wait.
func (l *Lab) Run(host string, cmd *exec.Cmd) error {
	p, err := l.Start(host, cmd)
	if err != nil {
		return err
	}
	return p.Wait()
}

// watch reaps the process. Until cmd.Wait reaps it, its number, and so its group's, cannot mean another process.
func (p *Process) watch(id identity) {
	for {
		err := unix.Waitid(unix.P_PID, p.PID, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	_ = unix.Kill(-p.PID, unix.SIGKILL) // the rest of the group; there may be none
	p.exited = true
	p.mu.Unlock()
	p.err = p.cmd.Wait()

	p.lab.mu.Lock()
	delete(p.lab.processes, p)
	p.lab.mu.Unlock()
	// The record names a process that is gone: if it cannot be removed, because the lab is gone too, it does no harm.
	_ = update(p.lab.name, func(s *state) error {
		s.Processes = slices.DeleteFunc(s.Processes, func(r recorded) bool { return r.identity == id })
		return nil
	})
	close(p.done)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process and returns what exec.Cmd.Wait did.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the process and its group. A process that has ended gets none.
func (p *Process) Signal(signal syscall.Signal) { p.signal(signal) }

func (p *Process) signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.exited {
		_ = unix.Kill(-p.PID, signal) // ours, not reaped: it cannot be refused
	}
}

// End asks the process to end, and kills it if it has not ended after some seconds. It returns when it is gone.
func (p *Process) End() {
	p.signal(unix.SIGTERM)
	select {
	case <-p.done:
		return
	case <-time.After(endGrace):
	}
	p.signal(unix.SIGKILL)
	<-p.done
}

// endProcesses ends all processes that this Lab started.
func (l *Lab) endProcesses() {
	l.mu.Lock()
	all := make([]*Process, 0, len(l.processes))
	for p := range l.processes {
		all = append(all, p)
	}
	l.mu.Unlock()
	var ending sync.WaitGroup
	for _, p := range all {
		ending.Go(p.End)
	}
	ending.Wait()
}

// spawner is the one thread that starts a lab's processes. They are to die with this process, but the kernel sends the signal when the
// thread that started them ends; this thread lasts as long as they do, and no other goroutine can run on it and end it.
type spawner struct {
	requests chan spawn
}

type spawn struct {
	namespace string
	cmd       *exec.Cmd
	result    chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawn)}
	go s.serve()
	return s
}

func (s *spawner) start(namespace string, cmd *exec.Cmd) error {
	request := spawn{namespace: namespace, cmd: cmd, result: make(chan error, 1)}
	s.requests <- request
	return <-request.result
}

// close ends the thread. No process may be left.
func (s *spawner) close() { close(s.requests) }

func (s *spawner) serve() {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		for request := range s.requests {
			request.result <- fmt.Errorf("open the thread's namespace: %w", err)
		}
		runtime.UnlockOSThread()
		return
	}
	for request := range s.requests {
		err := enterNamespace(request.namespace)
		if err == nil {
			err = startChild(request.cmd)
			if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil && err == nil {
				err = fmt.Errorf("leave namespace %s: %w", request.namespace, back)
			}
		}
		request.result <- err
	}
	if unix.Setns(home, unix.CLONE_NEWNET) == nil { // else the thread ends with its goroutine
		runtime.UnlockOSThread()
	}
	_ = unix.Close(home) // it was only read
}

func startChild(cmd *exec.Cmd) error {
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	attr.Pdeathsig = syscall.SIGKILL
	attr.Setpgid = !attr.Setsid // the leader of a session leads a group already
	attr.Pgid = 0
	cmd.SysProcAttr = &attr
	return cmd.Start()
}
