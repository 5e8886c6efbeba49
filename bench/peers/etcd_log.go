package main

import (
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// etcdLog is where a node writes what it must not forget.
type etcdLog interface {
	// save returns when a node may promise what it was given. Many entries cost one fdatasync.
	save(state *pb.HardState, entries []*pb.Entry) error
	slow() bool // it waits for a disk: what may leave before should
	close() error
}

// noLog is a node that forgets.
type noLog struct{}

func (noLog) save(*pb.HardState, []*pb.Entry) error { return nil }
func (noLog) slow() bool                            { return false }
func (noLog) close() error                          { return nil }

// diskLog is the log of the etcd server.
type diskLog struct{ wal *wal.WAL }

func openEtcdLog(dir string, from *pb.SnapshotMetadata) (etcdLog, error) {
	w, err := wal.Create(zap.NewNop(), filepath.Join(dir, "wal"), nil)
	if err != nil {
		return nil, err
	}
	if err := w.SaveSnapshot(&walpb.Snapshot{Index: from.Index, Term: from.Term, ConfState: from.ConfState}); err != nil {
		w.Close()
		return nil, err
	}
	return diskLog{w}, nil
}

func (l diskLog) save(state *pb.HardState, entries []*pb.Entry) error {
	if state == nil && len(entries) == 0 {
		return nil
	}
	return l.wal.Save(state, entries)
}

func (l diskLog) slow() bool   { return true }
func (l diskLog) close() error { return l.wal.Close() }
