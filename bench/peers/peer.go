package main

import (
	"runtime/debug"
	"slices"
	"time"
)

// nodes is how many there are of each peer: a quorum is two.
const nodes = 3

// peer is another system.
type peer struct {
	name    string // on the command line
	title   string // as it calls itself
	module  string // of the build, which has the version; "" for a program of its own
	memory  string // how it stores without being durable
	durable string // how it stores durably; "" if it does not
	unlike  string // what is unlike our own set-up, besides what is so of all
	files   bool   // it writes files also where it is not durable
	start   func(nodeConfig) (replica, error)
}

// unlikeAll is what is unlike our own set-up in every peer that is a library.
const unlikeAll = "kernel TCP on the loopback; the load is in the leader's process and calls the library itself, so no client's hop is in the latency; " +
	"a value is done when 2 of 3 nodes have committed it and the leader's state machine, which does nothing, has applied it; " +
	"GOGC=400"

var libraries = []peer{etcdPeer, hashicorpPeer, dragonboatPeer}

// system is the peer's name with the version that was built in.
func (p *peer) system() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return p.title
	}
	for _, m := range build.Deps {
		if m.Path == p.module {
			return p.title + " " + m.Version
		}
	}
	return p.title
}

func (p *peer) storage(durable bool) string {
	if durable {
		return p.durable
	}
	return p.memory
}

func findLibrary(name string) *peer {
	if i := slices.IndexFunc(libraries, func(p peer) bool { return p.name == name }); i >= 0 {
		return &libraries[i]
	}
	return nil
}

// nodeConfig is what a node is started with.
type nodeConfig struct {
	Peer      string   `json:"peer"`
	ID        int      `json:"id"`        // from 1
	Addresses []string `json:"addresses"` // of all nodes, in the order of their ids
	Dir       string   `json:"dir"`       // of its own, empty; "" where nothing is written
	Durable   bool     `json:"durable"`
}

func (c *nodeConfig) address() string { return c.Addresses[c.ID-1] }

// standing is whom a replica takes for the leader, and since which term; 0: nobody.
type standing struct {
	Leader int    `json:"leader"`
	Term   uint64 `json:"term"` // 0 where the peer does not tell
}

// replica is one node's part of a peer's cluster.
type replica interface {
	// standing is what the replica knows at the moment.
	standing() standing

	// carry hands values of the load over as they become due, until the load is done. It returns at once. The replica leads.
	carry(l *load)

	// close ends it. The load is done, or lost.
	close() error
}

// retryPause is how long a value waits that a peer would not take.
const retryPause = 200 * time.Microsecond

// carryEach hands values over one by one, in a goroutine of its own. propose may block; it answers false where the value was not taken and may
// be offered again.
func carryEach(l *load, propose func(value []byte) bool) {
	go func() {
		var values [][]byte
		for {
			select {
			case <-l.done:
				return
			case <-l.free:
			}
			values = l.due(values[:0])
			for _, v := range values {
				for !propose(v) && l.again() {
					time.Sleep(retryPause)
				}
			}
		}
	}()
}
