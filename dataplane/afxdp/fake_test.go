package afxdp

import (
	"sync/atomic"
	"testing"

	"wirepaxos/dataplane/header"
)

// kernel plays the other side of the rings in plain memory, so that what only some drivers do can be tested on any machine:
// a TX ring that needs no kick, a driver that ran out of cells and sleeps.
type kernel struct {
	p    *Port
	fill uint32 // its consumer index of the fill ring
	tx   uint32
	sent [][]byte // packets taken from the TX ring
}

const fakeRing = 64

// newFake makes a port of 128 cells over rings of 64, none of them known to a real kernel, with one peer.
func newFake(t testing.TB) (*Port, *kernel) {
	t.Helper()
	const n = 2 * fakeRing
	p := &Port{cells: newCells(n, SmallCell, fakeRing), mtu: 1500}
	p.link = header.Link{EtherType: header.TypeOwn, MAC: macA}
	p.headerLen = p.link.Len()
	tmpl, err := p.link.Template(header.Addr{MAC: macB})
	must(t, err)
	p.templates = []header.Template{tmpl}
	p.peers = newPeerTable(1)
	p.peers.add(macB.Key(), 0)
	memory := func() ringMemory {
		return ringMemory{producer: new(atomic.Uint32), consumer: new(atomic.Uint32), flags: new(atomic.Uint32),
			addresses: make([]uint64, fakeRing), descriptors: make([]descriptor, fakeRing)}
	}
	p.socket = socket{bound: bound{fd: -1, umem: make([]byte, n*SmallCell)}, // a kick answers EBADF and is counted
		fill: fillRing{ringMemory: memory(), mask: fakeRing - 1}, comp: completionRing{ringMemory: memory(), mask: fakeRing - 1},
		rx: rxRing{ringMemory: memory(), mask: fakeRing - 1}, tx: txRing{ringMemory: memory(), mask: fakeRing - 1}}
	p.refill()
	return p, &kernel{p: p}
}

// deliver receives a packet as the kernel does: into the next cell of the fill ring. It answers false if that is empty.
func (k *kernel) deliver(packet []byte) bool {
	p := k.p
	if p.fill.producer.Load() == k.fill {
		return false
	}
	addr := p.fill.addresses[k.fill%fakeRing] + rxHeadroom
	k.fill++
	p.fill.consumer.Store(k.fill)
	copy(p.umem[addr:], packet)
	at := p.rx.producer.Load()
	p.rx.descriptors[at%fakeRing] = descriptor{Addr: addr, Len: uint32(len(packet))}
	p.rx.producer.Store(at + 1)
	return true
}

// transmit takes up to n packets from the TX ring and completes them.
func (k *kernel) transmit(n int) {
	p := k.p
	for ; n > 0 && k.tx != p.tx.producer.Load(); n-- {
		d := p.tx.descriptors[k.tx%fakeRing]
		k.sent = append(k.sent, append([]byte(nil), p.umem[d.Addr:d.Addr+uint64(d.Len)]...))
		k.tx++
		p.tx.consumer.Store(k.tx)
		at := p.comp.producer.Load()
		p.comp.addresses[at%fakeRing] = d.Addr
		p.comp.producer.Store(at + 1)
	}
}

// packet is one from the peer.
func packet(t testing.TB, payload []byte) []byte {
	t.Helper()
	l := header.Link{EtherType: header.TypeOwn, MAC: macB}
	tmpl, err := l.Template(header.Addr{MAC: macA})
	must(t, err)
	b := make([]byte, tmpl.Len()+len(payload))
	copy(b[tmpl.Len():], payload)
	tmpl.Put(b, len(payload))
	return b
}
