package main

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

var etcdPeer = peer{
	name: "etcd", title: "etcd/raft", module: "go.etcd.io/raft/v3",
	memory: "memory", durable: "etcd's wal, fdatasync before messages that depend on it",
	unlike: "a RawNode in a loop of its own; all values that are due go into one proposal and all messages of a round into one write a follower; " +
		"the leader sends before it has written, as the library allows",
	start: startEtcd,
}

// The settings: what the documentation calls the throughput of normal replication is not to be held back.
const (
	etcdTick          = 100 * time.Millisecond
	etcdElectionTicks = 10
	etcdInflight      = 4096
	etcdMessageBytes  = 1 << 20
	etcdCompactAfter  = 100_000 // entries that were applied; so many more stay for a follower that lags
)

// etcdNode is a RawNode, which one goroutine owns: take what came in, step, hand over what is due, write, send, apply, and again.
type etcdNode struct {
	raw     *raft.RawNode
	storage *raft.MemoryStorage
	log     etcdLog
	wire    *etcdWire
	inbox   []*pb.Message // of the round

	load     atomic.Pointer[load]
	due      [][]byte
	data     [][]byte // of the round's entries that were committed
	standsAs atomic.Pointer[standing]
	compact  uint64 // the index that is compacted next

	stop chan struct{}
	done sync.WaitGroup
	err  error // of the loop; read after done
}

// startEtcd begins with a log whose first entries are gone: the configuration of three voters is in the state that replaces them.
func startEtcd(cfg nodeConfig) (replica, error) {
	n := &etcdNode{storage: raft.NewMemoryStorage(), stop: make(chan struct{}), compact: 2 * etcdCompactAfter}
	n.standsAs.Store(&standing{})
	state := &pb.ConfState{}
	for i := range cfg.Addresses {
		state.Voters = append(state.Voters, uint64(i+1))
	}
	begin := &pb.Snapshot{Metadata: &pb.SnapshotMetadata{ConfState: state, Index: new(uint64(1)), Term: new(uint64(1))}}
	if err := n.storage.ApplySnapshot(begin); err != nil {
		return nil, err
	}
	n.log = noLog{}
	if cfg.Durable {
		var err error
		if n.log, err = openEtcdLog(cfg.Dir, begin.GetMetadata()); err != nil {
			return nil, err
		}
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID: uint64(cfg.ID), ElectionTick: etcdElectionTicks, HeartbeatTick: 1, Storage: n.storage, Applied: 1, MaxSizePerMsg: etcdMessageBytes,
		MaxCommittedSizePerReady: math.MaxUint64, MaxInflightMsgs: etcdInflight, CheckQuorum: true, PreVote: true, Logger: silent{},
	})
	if err != nil {
		return nil, errors.Join(err, n.log.close())
	}
	n.raw = raw
	if n.wire, err = openEtcdWire(cfg); err != nil {
		return nil, errors.Join(err, n.log.close())
	}
	n.done.Go(func() {
		if n.err = n.run(cfg.ID == 1); n.err != nil {
			n.standsAs.Store(&standing{})
		}
	})
	return n, nil
}

func (n *etcdNode) standing() standing { return *n.standsAs.Load() }

func (n *etcdNode) carry(l *load) {
	n.load.Store(l)
	n.wire.knock()
}

func (n *etcdNode) close() error {
	close(n.stop)
	n.done.Wait()
	return errors.Join(n.err, n.wire.close(), n.log.close())
}

// run is the loop. The first node asks for votes as soon as it can be heard.
func (n *etcdNode) run(first bool) error {
	tick := time.NewTicker(etcdTick)
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return nil
		case <-tick.C:
			n.raw.Tick()
			if first && n.wire.connected() {
				first = false
				if err := n.raw.Campaign(); err != nil {
					return fmt.Errorf("campaign: %w", err)
				}
			}
		case <-n.wire.arrived:
		}
		if err := n.round(); err != nil {
			return err
		}
	}
}

// round steps what came in and goes on until nothing is left to do.
func (n *etcdNode) round() error {
	n.inbox = n.wire.take(n.inbox[:0])
	for _, m := range n.inbox {
		if err := n.raw.Step(m); err != nil && !errors.Is(err, raft.ErrProposalDropped) {
			return fmt.Errorf("step %v: %w", m.GetType(), err)
		}
	}
	for {
		if err := n.propose(); err != nil {
			return err
		}
		if !n.raw.HasReady() {
			return n.wire.flush()
		}
		if err := n.ready(); err != nil {
			return err
		}
	}
}

// propose hands all values that are due over in one proposal.
func (n *etcdNode) propose() error {
	l := n.load.Load()
	if l == nil {
		return nil
	}
	if n.due = l.due(n.due[:0]); len(n.due) == 0 {
		return nil
	}
	entries := make([]pb.Entry, len(n.due))
	m := &pb.Message{Type: pb.MsgProp.Enum(), From: new(n.raw.BasicStatus().ID), Entries: make([]*pb.Entry, len(n.due))}
	for i, v := range n.due {
		entries[i].Data = v
		m.Entries[i] = &entries[i]
	}
	if err := n.raw.Step(m); err != nil {
		return fmt.Errorf("propose %d values: %w", len(n.due), err)
	}
	return nil
}

// ready does what the core asks for, in the order that its documentation gives; a leader's appends leave before its own write.
func (n *etcdNode) ready() error {
	rd := n.raw.Ready()
	if rd.SoftState != nil || rd.HardState != nil {
		n.standsAs.Store(&standing{Leader: int(n.raw.BasicStatus().Lead), Term: n.raw.BasicStatus().GetTerm()})
	}
	for _, m := range rd.Messages {
		if m.GetType() == pb.MsgApp {
			n.wire.send(m)
		}
	}
	if rd.MustSync && n.log.slow() {
		if err := n.wire.flush(); err != nil {
			return err
		}
	}
	if err := n.log.save(rd.HardState, rd.Entries); err != nil {
		return fmt.Errorf("the log: %w", err)
	}
	if rd.HardState != nil {
		if err := n.storage.SetHardState(rd.HardState); err != nil {
			return err
		}
	}
	if err := n.storage.Append(rd.Entries); err != nil {
		return err
	}
	for _, m := range rd.Messages {
		if m.GetType() != pb.MsgApp {
			n.wire.send(m)
		}
	}
	if err := n.apply(rd.CommittedEntries); err != nil {
		return err
	}
	n.raw.Advance(rd)
	return nil
}

// apply is the state machine.
func (n *etcdNode) apply(entries []*pb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if l := n.load.Load(); l != nil {
		n.data = n.data[:0]
		for _, e := range entries {
			if len(e.GetData()) > 0 { // a leader begins with an empty one
				n.data = append(n.data, e.GetData())
			}
		}
		l.applied(len(n.data), func(i int) []byte { return n.data[i] })
	}
	if last := entries[len(entries)-1].GetIndex(); last >= n.compact {
		if err := n.storage.Compact(last - etcdCompactAfter); err != nil {
			return err
		}
		n.compact = last + etcdCompactAfter
	}
	return nil
}

// silent is a log of the library that nobody reads. What it calls fatal ends the process.
type silent struct{}

func (silent) Debug(...any)            {}
func (silent) Debugf(string, ...any)   {}
func (silent) Info(...any)             {}
func (silent) Infof(string, ...any)    {}
func (silent) Warning(...any)          {}
func (silent) Warningf(string, ...any) {}
func (silent) Error(...any)            {}
func (silent) Errorf(string, ...any)   {}
func (silent) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (silent) Fatalf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
func (silent) Panic(v ...any) { panic(fmt.Sprint(v...)) }
func (silent) Panicf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
