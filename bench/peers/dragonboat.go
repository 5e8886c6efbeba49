package main

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v3"
	"github.com/lni/dragonboat/v3/client"
	"github.com/lni/dragonboat/v3/config"
	"github.com/lni/dragonboat/v3/logger"
	"github.com/lni/dragonboat/v3/statemachine"
)

var dragonboatPeer = peer{
	name: "dragonboat", title: "dragonboat", module: "github.com/lni/dragonboat/v3",
	memory: "its log in files on tmpfs, as it always writes", durable: "its log in files on a disk, fdatasync", files: true,
	unlike: "a concurrent state machine, a session without deduplication, its settings for experts as they are",
	start:  startDragonboat,
}

// The settings. Its documentation counts timeouts in round trips: a vote begins after a second of silence, heartbeats come every 100 ms.
const (
	dragonboatGroup        = 1
	dragonboatRTTMs        = 20
	dragonboatElectionRTT  = 50
	dragonboatHeartbeatRTT = 5
	dragonboatTimeout      = 20 * time.Second
)

type dragonboatNode struct {
	host    *dragonboat.NodeHost
	session *client.Session
	machine *dragonboatMachine
}

func startDragonboat(cfg nodeConfig) (replica, error) {
	for _, name := range []string{"config", "dragonboat", "logdb", "pebblekv", "raft", "raftpb", "rsm", "server", "settings", "transport"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	host, err := dragonboat.NewNodeHost(config.NodeHostConfig{
		WALDir: cfg.Dir, NodeHostDir: cfg.Dir, RTTMillisecond: dragonboatRTTMs, RaftAddress: cfg.address(),
	})
	if err != nil {
		return nil, err
	}
	n := &dragonboatNode{host: host, session: host.GetNoOPSession(dragonboatGroup), machine: &dragonboatMachine{}}
	members := map[uint64]dragonboat.Target{}
	for i, address := range cfg.Addresses {
		members[uint64(i+1)] = address
	}
	err = host.StartConcurrentCluster(members, false, func(_, _ uint64) statemachine.IConcurrentStateMachine { return n.machine }, config.Config{
		NodeID: uint64(cfg.ID), ClusterID: dragonboatGroup, CheckQuorum: true, ElectionRTT: dragonboatElectionRTT, HeartbeatRTT: dragonboatHeartbeatRTT,
	})
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *dragonboatNode) standing() standing {
	id, known, err := n.host.GetLeaderID(dragonboatGroup)
	if err != nil || !known {
		return standing{}
	}
	return standing{Leader: int(id)}
}

func (n *dragonboatNode) carry(l *load) {
	n.machine.load.Store(l)
	carryEach(l, func(value []byte) bool {
		_, err := n.host.Propose(n.session, value, dragonboatTimeout) // what becomes of it the state machine tells
		return err == nil
	})
}

func (n *dragonboatNode) close() error {
	n.host.Stop()
	return nil
}

// dragonboatMachine is the state machine: it keeps nothing.
type dragonboatMachine struct{ load atomic.Pointer[load] }

// Update takes what was committed.
func (m *dragonboatMachine) Update(entries []statemachine.Entry) ([]statemachine.Entry, error) {
	if l := m.load.Load(); l != nil {
		l.applied(len(entries), func(i int) []byte { return entries[i].Cmd })
	}
	return entries, nil
}

// Lookup, PrepareSnapshot, SaveSnapshot and RecoverFromSnapshot make the machine one of the library's; nothing asks for them here.
func (m *dragonboatMachine) Lookup(any) (any, error)       { return nil, nil }
func (m *dragonboatMachine) PrepareSnapshot() (any, error) { return nil, nil }

func (m *dragonboatMachine) SaveSnapshot(_ any, w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{}) error {
	_, err := fmt.Fprintln(w)
	return err
}

func (m *dragonboatMachine) RecoverFromSnapshot(io.Reader, []statemachine.SnapshotFile, <-chan struct{}) error {
	return nil
}

func (m *dragonboatMachine) Close() error { return nil }
