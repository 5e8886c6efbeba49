package afxdp

import (
	"math/bits"

	"wirepaxos/dataplane"
)

// peerTable finds the peer of a sender's key: open addressing, at most a quarter full, fixed at Open. Key 0 is an empty place.
type peerTable struct {
	keys  []uint64
	peers []dataplane.Peer
	shift uint
}

func newPeerTable(n int) peerTable {
	size := 1 << bits.Len(uint(max(4*n, 8)-1))
	shift := uint(64 - bits.TrailingZeros(uint(size)))
	return peerTable{keys: make([]uint64, size), peers: make([]dataplane.Peer, size), shift: shift}
}

// place spreads key over the table: the high bits of a multiplication by 2^64 divided by the golden ratio.
func (t *peerTable) place(key uint64) uint64 { return key * 0x9E3779B97F4A7C15 >> t.shift }

// add enters key unless it is there already.
func (t *peerTable) add(key uint64, peer dataplane.Peer) {
	mask := uint64(len(t.keys) - 1)
	for i := t.place(key); ; i = (i + 1) & mask {
		if t.keys[i] == key {
			return
		}
		if t.keys[i] == 0 {
			t.keys[i], t.peers[i] = key, peer
			return
		}
	}
}

// find is the peer of key, or NoPeer. A search ends at an empty place, of which there are always some.
func (t *peerTable) find(key uint64) dataplane.Peer {
	mask := uint64(len(t.keys) - 1)
	for i := t.place(key); t.keys[i] != 0; i = (i + 1) & mask {
		if t.keys[i] == key {
			return t.peers[i]
		}
	}
	return dataplane.NoPeer
}
