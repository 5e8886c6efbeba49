package main

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

var hashicorpPeer = peer{
	name: "hashicorp", title: "hashicorp/raft", module: "github.com/hashicorp/raft",
	memory: "memory (its InmemStore)", durable: "its raft-wal, fsync", start: startHashicorp,
	unlike: "BatchApplyCh, MaxAppendEntries at its most, TCP transport with two requests under way, its default, for more brought nothing here; " +
		"a batching state machine; its leader writes before it sends",
}

// The settings; timeouts are the library's own.
const (
	hashicorpMostAppend = 1024 // the library takes no more
	hashicorpInflight   = 2
	hashicorpPool       = 3
	hashicorpIOTimeout  = 10 * time.Second
)

type hashicorpNode struct {
	raft      *raft.Raft
	transport *raft.NetworkTransport
	machine   *hashicorpMachine
	files     io.Closer // nil in memory
	names     map[raft.ServerID]int
}

func startHashicorp(cfg nodeConfig) (replica, error) {
	n := &hashicorpNode{machine: &hashicorpMachine{}, names: map[raft.ServerID]int{}}
	address, err := net.ResolveTCPAddr("tcp", cfg.address())
	if err != nil {
		return nil, err
	}
	quiet := hclog.NewNullLogger()
	n.transport, err = raft.NewTCPTransportWithConfig(cfg.address(), address, &raft.NetworkTransportConfig{
		MaxPool: hashicorpPool, MaxRPCsInFlight: hashicorpInflight, Timeout: hashicorpIOTimeout, Logger: quiet,
	})
	if err != nil {
		return nil, err
	}
	memory := raft.NewInmemStore()
	logs, stable := raft.LogStore(memory), raft.StableStore(memory)
	if cfg.Durable {
		w, err := wal.Open(cfg.Dir, wal.WithLogger(quiet))
		if err != nil {
			return nil, errors.Join(err, n.transport.Close())
		}
		logs, stable, n.files = w, w, w
	}
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(strconv.Itoa(cfg.ID))
	c.Logger = quiet
	c.BatchApplyCh, c.MaxAppendEntries = true, hashicorpMostAppend
	checkpoints := raft.NewDiscardSnapshotStore()
	n.raft, err = raft.NewRaft(c, n.machine, logs, stable, checkpoints, n.transport)
	if err != nil {
		return nil, errors.Join(err, n.transport.Close())
	}
	var servers raft.Configuration
	for i, a := range cfg.Addresses {
		name := raft.ServerID(strconv.Itoa(i + 1))
		n.names[name] = i + 1
		servers.Servers = append(servers.Servers, raft.Server{ID: name, Address: raft.ServerAddress(a)})
	}
	if cfg.ID == 1 { // the others learn of the cluster from it, so it leads
		if err := n.raft.BootstrapCluster(servers).Error(); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	return n, nil
}

func (n *hashicorpNode) standing() standing {
	_, id := n.raft.LeaderWithID()
	return standing{Leader: n.names[id], Term: n.raft.CurrentTerm()}
}

func (n *hashicorpNode) carry(l *load) {
	n.machine.load.Store(l)
	carryEach(l, func(value []byte) bool {
		n.raft.Apply(value, 0) // blocks while its queue is full; what becomes of the value the state machine tells
		return true
	})
}

func (n *hashicorpNode) close() error {
	err := errors.Join(n.raft.Shutdown().Error(), n.transport.Close())
	if n.files != nil {
		err = errors.Join(err, n.files.Close())
	}
	return err
}

// hashicorpMachine is the state machine: it keeps nothing.
type hashicorpMachine struct{ load atomic.Pointer[load] }

// ApplyBatch takes what was committed, along with changes of the configuration.
func (m *hashicorpMachine) ApplyBatch(logs []*raft.Log) []any {
	if l := m.load.Load(); l != nil {
		commands := make([][]byte, 0, len(logs))
		for _, entry := range logs {
			if entry.Type == raft.LogCommand {
				commands = append(commands, entry.Data)
			}
		}
		l.applied(len(commands), func(i int) []byte { return commands[i] })
	}
	return make([]any, len(logs))
}

// Apply takes one command.
func (m *hashicorpMachine) Apply(entry *raft.Log) any {
	m.ApplyBatch([]*raft.Log{entry})
	return nil
}

// Snapshot and Restore make the machine one of the library's; no run is so long that it needs them.
func (m *hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (m *hashicorpMachine) Restore(r io.ReadCloser) error       { return r.Close() }

type nothing struct{}

func (nothing) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (nothing) Release()                             {}
