package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/mem"
	"wirepaxos/dataplane/udp"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// The floor under a plan's latencies: an echo between two loops of its own, over ports, cores and a network like those of the plan.

// floorTime is how long an echo beside a run takes: enough rounds for a median.
const floorTime = 1500 * time.Millisecond

// acceptBytes is the length of a frame with an Accept of one value.
func acceptBytes(size int) int { return paxos.AcceptOverhead + paxos.ValueOverhead + size }

// echoOutcome is what an echo measured, and over what.
type echoOutcome struct {
	bench.EchoResult
	Mode string `json:"mode"`
	Note string `json:"note"`
}

// measureEcho measures an echo for a plan that does not run now. Where there is no lab, lab says so: then it goes over 127.0.0.1.
func measureEcho(ctx context.Context, p *plan, c bench.EchoConfig, lab bool) (*echoOutcome, error) {
	c.UnderWay = min(c.UnderWay, bench.MaxUnderWay)
	var o *echoOutcome
	var err error
	if p.file.Transport == cluster.TransportMem {
		o, err = echoInMemory(ctx, p, c)
	} else {
		o, err = echoOfProcesses(ctx, p, c, lab)
	}
	if ctx.Err() != nil {
		return nil, failed("interrupted")
	}
	return o, err
}

// echoEnd says what one end of an echo opens and does. It goes to its process as JSON.
type echoEnd struct {
	Transport cluster.Transport `json:"transport"`
	Link      cluster.Link      `json:"link"`
	Mode      cluster.Mode      `json:"mode"`
	Interface string            `json:"interface"`
	Local     netip.AddrPort    `json:"local"`
	Peer      netip.AddrPort    `json:"peer"`
	PeerMAC   net.HardwareAddr  `json:"peer_mac"`
	Core      int               `json:"core"`
	Idle      cluster.Idle      `json:"idle"`
	Reflect   bool              `json:"reflect"`
	Echo      bench.EchoConfig  `json:"echo"`
}

// echoEnds are both ends, that of the acceptors and that of the client.
func echoEnds(p *plan, c bench.EchoConfig) (back, forth echoEnd) {
	back = echoEnd{Transport: p.file.Transport, Link: p.file.LinkLayer(), Mode: p.file.Mode, Core: p.procs[0].core, Idle: p.file.Idle, Reflect: true}
	forth = back
	forth.Core, forth.Reflect, forth.Echo = p.procs[len(p.procs)-1].core, false, c
	return back, forth
}

func (e *echoEnd) open() (dataplane.Port, error) {
	if e.Transport == cluster.TransportUDP {
		const frames = 4096 // as the node opens it
		return udp.Open(udp.Config{Listen: e.Local, Peers: []netip.AddrPort{e.Peer}, Frames: frames})
	}
	peer := afxdp.PeerAddr{MAC: e.PeerMAC}
	c := afxdp.Config{Interface: e.Interface, Mode: string(e.Mode), Link: string(e.Link)}
	if e.Link == cluster.LinkUDP4 {
		c.UDPPort, c.LocalIP = e.Local.Port(), e.Local.Addr()
		peer.IP, peer.UDPPort = e.Peer.Addr(), e.Peer.Port()
	}
	c.Peers = []afxdp.PeerAddr{peer}
	return afxdp.Open(c)
}

// loop runs a task over a port as a node's would run.
func (e *echoEnd) loop(name string, port dataplane.Port, task dataplane.Task) (*dataplane.Loop, error) {
	idle, core := e.Idle, e.Core
	if idle == cluster.IdleAuto {
		if idle = cluster.IdleBlock; core != cluster.NoCore {
			idle = cluster.IdleSpin
		}
	}
	if core == cluster.NoCore {
		core = dataplane.NoCore
	}
	kind, err := dataplane.ParseIdle(string(idle))
	if err != nil {
		return nil, err
	}
	return dataplane.NewLoop(dataplane.LoopConfig{Name: name, Core: core, Idle: kind, Ports: []dataplane.Port{port}}, task)
}

// run is the process of an end: that which sends measures, and tells on out.
func (e *echoEnd) run() (*echoOutcome, error) {
	port, err := e.open()
	if err != nil {
		return nil, err
	}
	defer port.Close()
	if e.Reflect {
		loop, err := e.loop("reflector", port, bench.NewReflector(port))
		if err != nil {
			return nil, err
		}
		return nil, loop.Run()
	}
	return e.send(port)
}

func (e *echoEnd) send(port dataplane.Port) (*echoOutcome, error) {
	var loop *dataplane.Loop
	echo, err := bench.NewEcho(e.Echo, port, 0, func() { loop.Stop() })
	if err != nil {
		return nil, err
	}
	if loop, err = e.loop("echo", port, echo); err != nil {
		return nil, err
	}
	if err := loop.Run(); err != nil {
		return nil, err
	}
	r, err := echo.Result()
	if err != nil {
		return nil, failed("%v", err)
	}
	return &echoOutcome{EchoResult: r, Mode: port.Info().Mode, Note: port.Info().Note}, nil
}

// echoInMemory is an echo between two loops of this process.
func echoInMemory(ctx context.Context, p *plan, c bench.EchoConfig) (*echoOutcome, error) {
	const frames = 2048 // as ringAll makes them
	near, far, err := mem.NewPair(mem.Config{Name: "echo", MTU: node.MTU(p.file), Frames: frames})
	if err != nil {
		return nil, err
	}
	defer near.Close()
	defer far.Close()
	back, forth := echoEnds(p, c)
	reflector, err := back.loop("reflector", far, bench.NewReflector(far))
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- reflector.Run() }()
	defer func() {
		reflector.Stop()
		<-ended
	}()
	var loop *dataplane.Loop
	echo, err := bench.NewEcho(forth.Echo, near, 0, func() { loop.Stop() })
	if err != nil {
		return nil, err
	}
	if loop, err = forth.loop("echo", near, echo); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, loop.Stop)
	defer stop()
	if err := loop.Run(); err != nil {
		return nil, err
	}
	r, err := echo.Result()
	if err != nil {
		return nil, failed("%v", err)
	}
	return &echoOutcome{EchoResult: r}, nil
}

// echoOfProcesses is an echo between two processes: on two hosts of a lab shaped like the plan's, or on 127.0.0.1.
func echoOfProcesses(ctx context.Context, p *plan, c bench.EchoConfig, lab bool) (o *echoOutcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program to start as the ends of an echo: %w", err)
	}
	back, forth := echoEnds(p, c)
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if !lab {
		base, err := loopbackPorts(2, 0)
		if err != nil {
			return nil, err
		}
		back.Local, forth.Local = netip.AddrPortFrom(loopback, base), netip.AddrPortFrom(loopback, base+1)
	}
	start := func(_ string, cmd *exec.Cmd) (func(), error) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return func() { _ = cmd.Wait() }, nil // the exit status of a process that is killed says nothing
	}
	first, last := "h1", fmt.Sprintf("h%d", max(2, len(p.hosts)))
	if lab {
		var hosts []netlab.HostSpec
		for i := range max(2, len(p.hosts)) {
			hosts = append(hosts, netlab.HostSpec{Name: fmt.Sprintf("h%d", i+1)})
		}
		l, err := netlab.Up(ctx, netlab.Spec{Name: fmt.Sprintf("echo%d", os.Getpid()), Hosts: hosts})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.Down()) }()
		near, far := l.Hosts()[len(hosts)-1], l.Hosts()[0]
		back.Interface, back.Local, back.PeerMAC = far.Interface, netip.AddrPortFrom(far.IP, loopbackPort), near.MAC
		forth.Interface, forth.Local, forth.PeerMAC = near.Interface, netip.AddrPortFrom(near.IP, loopbackPort), far.MAC
		start = func(host string, cmd *exec.Cmd) (func(), error) {
			q, err := l.Start(host, cmd)
			if err != nil {
				return nil, err
			}
			return func() { _ = q.Wait() }, nil
		}
	}
	back.Peer, forth.Peer = forth.Local, back.Local
	return joinEnds(ctx, self, start, first, last, &back, &forth)
}

// joinEnds starts both ends and reads what the one that sends tells. If the other ends before it, that is the end of both.
func joinEnds(ctx context.Context, self string, start func(string, *exec.Cmd) (func(), error), first, last string, back, forth *echoEnd) (*echoOutcome, error) {
	reflector, err := endProcess(self, back)
	if err != nil {
		return nil, err
	}
	sender, err := endProcess(self, forth)
	if err != nil {
		return nil, err
	}
	waitBack, err := start(first, reflector.cmd)
	if err != nil {
		return nil, err
	}
	wait, err := start(last, sender.cmd)
	if err != nil {
		reflector.kill()
		waitBack()
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		waitBack()
		sender.kill()
	}()
	stop := context.AfterFunc(ctx, sender.kill)
	defer stop()
	wait()
	reflector.kill()
	<-ended
	o := &echoOutcome{}
	if err := json.Unmarshal(sender.out.Bytes(), o); err != nil {
		return nil, failed("the echo did not end well: %s", firstLine(reflector.says.last(), sender.says.last()))
	}
	return o, nil
}

// endCommand is the command of an end, what it says, and what it answers.
type endCommand struct {
	cmd  *exec.Cmd
	says tail
	out  bytes.Buffer
}

func endProcess(self string, e *echoEnd) (*endCommand, error) {
	spec, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	c := &endCommand{cmd: exec.Command(self, "bench", "echo-end", string(spec))}
	c.cmd.Stderr, c.cmd.Stdout = &c.says, &c.out
	return c, nil
}

func (c *endCommand) kill() { _ = c.cmd.Process.Kill() } // one that has ended needs none

// firstLine is the first text that says something.
func firstLine(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return strings.TrimPrefix(t, "wirepaxos: ")
		}
	}
	return "its processes said nothing"
}

// newEchoEnd is the process of one end.
func newEchoEnd() *cobra.Command {
	return &cobra.Command{
		Use:    "echo-end SPEC",
		Short:  "Be one end of an echo; bench echo starts it",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var e echoEnd
			if err := json.Unmarshal([]byte(args[0]), &e); err != nil {
				return fmt.Errorf("what this end of an echo shall do cannot be read: %w", err)
			}
			o, err := e.run()
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(o)
		},
	}
}

// echoTime divides the time of an echo among its parts.
func echoTime(d time.Duration) bench.EchoConfig {
	return bench.EchoConfig{WarmupNs: int64(d / 10), HopNs: int64(d * 45 / 100), RateNs: int64(d * 45 / 100)}
}
