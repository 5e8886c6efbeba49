package afxdp

import (
	"testing"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
)

func send(t testing.TB, p *Port, n int) {
	t.Helper()
	frames := make([]dataplane.Frame, n)
	if got := p.Alloc(frames); got != n {
		t.Fatalf("%d cells of %d", got, n)
	}
	for i := range frames {
		frames[i].Data = append(frames[i].Data, byte(i), 1, 2, 3)
		frames[i].Peer = 0
	}
	if got := p.TxBurst(frames); got != n {
		t.Fatalf("%d frames taken of %d", got, n)
	}
}

// Flush kicks if need_wakeup is set, and only then; the kernel sees nothing before Flush.
func TestKickOnlyWhenAsked(t *testing.T) {
	p, k := newFake(t)
	send(t, p, 3)
	if p.tx.producer.Load() != 0 {
		t.Fatal("packets were shown before Flush")
	}
	p.Flush()
	if p.tx.producer.Load() != 3 || p.counters.TxSyscalls != 0 {
		t.Fatalf("producer %d, %d kicks without need_wakeup", p.tx.producer.Load(), p.counters.TxSyscalls)
	}
	p.Flush() // nothing new, but the kernel has taken nothing and does not ask
	if p.counters.TxSyscalls != 0 {
		t.Fatal("kicked a driver that does not ask")
	}
	p.tx.flags.Store(unix.XDP_RING_NEED_WAKEUP)
	p.Flush() // it asks now: what is in the ring is old, but not taken
	if p.counters.TxSyscalls != 1 {
		t.Fatalf("%d kicks, want 1", p.counters.TxSyscalls)
	}
	k.transmit(2)
	p.Flush()
	k.transmit(1)
	p.Flush()
	if p.counters.TxSyscalls != 3 || p.txPending {
		t.Fatalf("%d kicks, want 3: until all was taken", p.counters.TxSyscalls)
	}
	p.Flush()
	if p.counters.TxSyscalls != 3 {
		t.Fatal("kicked with nothing to send")
	}
}

// A driver that ran out of cells sets the fill ring's flag and sleeps. It must be called also when the cells came before
// the flag.
func TestFillRingWakeUp(t *testing.T) {
	p, k := newFake(t)
	var frames [8]dataplane.Frame
	p.RxBurst(frames[:])
	if p.counters.RxSyscalls != 0 {
		t.Fatal("a system call without need")
	}
	p.fill.flags.Store(unix.XDP_RING_NEED_WAKEUP)
	p.RxBurst(frames[:])
	if p.counters.RxSyscalls != 1 {
		t.Fatal("an empty burst did not call the driver that asked")
	}
	k.deliver(packet(t, []byte{1}))
	p.RxBurst(frames[:])
	if p.counters.RxSyscalls != 2 {
		t.Fatal("a full burst did not call the driver that asked")
	}
	p.Arm()
	if p.counters.RxSyscalls != 3 {
		t.Fatal("Arm did not call the driver that asked")
	}
}

// The indices are 32 bits and wrap; nothing is lost where they do.
func TestIndicesWrap(t *testing.T) {
	p, k := newFake(t)
	const start = 1<<32 - 100
	rewind := func(r *ringMemory, by uint32) { r.producer.Store(by + r.producer.Load()); r.consumer.Store(by) }
	for _, r := range []*ringMemory{&p.fill.ringMemory, &p.rx.ringMemory, &p.tx.ringMemory, &p.comp.ringMemory} {
		rewind(r, start)
	}
	// The rings' places are taken modulo their size, which start is not a multiple of: move the entries of the fill ring along.
	moved := append([]uint64(nil), p.fill.addresses...)
	for i := range moved {
		p.fill.addresses[(start+uint32(i))%fakeRing] = moved[i]
	}
	p.fill.next += start
	p.rx.next, p.rx.end, p.tx.next, p.tx.published, p.tx.taken, p.comp.next = start, start, start, start, start, start
	k.fill, k.tx = start, start
	var frames [8]dataplane.Frame
	for i := range 300 {
		payload := []byte{byte(i), byte(i >> 8)}
		if !k.deliver(packet(t, payload)) {
			t.Fatalf("round %d: no cell to receive into", i)
		}
		n := p.RxBurst(frames[:])
		if n != 1 || frames[0].Data[0] != payload[0] || frames[0].Data[1] != payload[1] {
			t.Fatalf("round %d: %d frames", i, n)
		}
		p.Free(frames[:n])
		send(t, p, 1)
		p.Flush()
		k.transmit(1)
		if len(k.sent) != i+1 {
			t.Fatalf("round %d: %d packets sent", i, len(k.sent))
		}
	}
	expectCells(t, p)
}

// expectCells checks that every cell is in exactly one place, and the counts agree.
func expectCells(t *testing.T, p *Port) {
	t.Helper()
	var count [sending + 1]int
	for _, s := range p.cells.state {
		count[s]++
	}
	seen := map[uint32]bool{}
	for _, c := range p.cells.pool {
		seen[c] = true
	}
	if len(seen) != len(p.cells.pool) || count[inPool] != len(p.cells.pool) || count[inKernel] != p.cells.filled ||
		count[inKernel]+count[received] != p.cells.incoming || count[empty]+count[sending] != p.cells.outgoing {
		t.Fatalf("states %v, pool %d (%d distinct), filled %d, incoming %d, outgoing %d", count, len(p.cells.pool), len(seen),
			p.cells.filled, p.cells.incoming, p.cells.outgoing)
	}
}

// A caller who keeps all that he receives still can send; one who takes all cells to send still receives.
func TestNeitherDirectionStarves(t *testing.T) {
	p, k := newFake(t)
	var held []dataplane.Frame
	var frames [8]dataplane.Frame
	for k.deliver(packet(t, []byte{1})) {
		n := p.RxBurst(frames[:])
		held = append(held, frames[:n]...)
		p.RxBurst(frames[:0])
		p.pollEmpty(8)
	}
	if len(held) != 2*fakeRing*3/4 {
		t.Fatalf("%d frames could be held, want three quarters of the cells", len(held))
	}
	send(t, p, 2*fakeRing/4)
	if p.Alloc(frames[:1]) != 0 {
		t.Fatal("a cell came from nowhere")
	}
	p.Flush()
	k.transmit(fakeRing)
	p.Free(held)

	p.reap()
	p.refill()
	for range 10 { // the pool holds ten cells more than the fill ring's share leaves: they are still its own
		k.deliver(packet(t, []byte{1}))
		p.Free(frames[:p.RxBurst(frames[:])])
	}
	all := make([]dataplane.Frame, 2*fakeRing)
	n := p.Alloc(all)
	if n != fakeRing {
		t.Fatalf("%d cells to send, want what the fill ring leaves", n)
	}
	for i := range 1000 {
		if !k.deliver(packet(t, []byte{1})) {
			t.Fatalf("no cell to receive frame %d into", i)
		}
		p.Free(frames[:p.RxBurst(frames[:])])
	}
	p.Free(all[:n])
	expectCells(t, p)
}

// A full TX ring keeps the rest with the caller; faulty frames are taken even then.
func TestTxRingFull(t *testing.T) {
	p, k := newFake(t)
	p.tx.mask = 31 // a ring of 32
	frames := make([]dataplane.Frame, 40)
	if p.Alloc(frames) != 40 {
		t.Fatal("no cells")
	}
	for i := range frames {
		frames[i].Data, frames[i].Peer = append(frames[i].Data, 1), 0
	}
	frames[32].Peer = 7 // right behind the last that fits
	n := p.TxBurst(frames)
	if n != 33 || p.counters.TxFull != 7 || p.counters.TxErrors != 1 || p.counters.TxFrames != 32 {
		t.Fatalf("took %d: %+v", n, p.counters)
	}
	p.Free(frames[n:])
	p.Flush()
	if p.TxBurst(frames[:0]) != 0 {
		t.Fatal("took nothing of nothing")
	}
	k.tx = 0
	p.tx.consumer.Store(32)
	if p.tx.room(40) != 32 {
		t.Fatal("an emptied ring has no room")
	}
}

// Frames that came from RxBurst are not for TxBurst; a frame given back twice is a bug that must not go on.
func TestOwnership(t *testing.T) {
	p, k := newFake(t)
	k.deliver(packet(t, []byte{1, 2, 3}))
	var one [1]dataplane.Frame
	p.RxBurst(one[:])
	one[0].Peer = 0
	if p.TxBurst(one[:]) != 1 || p.counters.TxErrors != 1 {
		t.Fatalf("a received frame was sent: %+v", p.counters)
	}
	if p.TxBurst(one[:]) != 1 || p.counters.TxErrors != 2 {
		t.Fatalf("a frame was sent that the caller no longer has: %+v", p.counters)
	}
	p.Alloc(one[:])
	one[0].Data, one[0].Peer = append(one[0].Data, 1), 0
	first, second := p.TxBurst(one[:]), p.TxBurst(one[:])
	if first != 1 || second != 1 || p.counters.TxErrors != 3 || p.counters.TxFrames != 1 {
		t.Fatalf("a frame was sent twice: %+v", p.counters)
	}
	expectCells(t, p)
	defer func() {
		if recover() == nil {
			t.Fatal("a cell was given back twice")
		}
	}()
	p.Alloc(one[:])
	p.Free(one[:])
	p.Free(one[:])
}

// A short packet is filled up with zeros, not with what was in the cell.
func TestPadding(t *testing.T) {
	p, k := newFake(t)
	for i := range p.umem {
		p.umem[i] = 0xEE
	}
	send(t, p, 1)
	p.Flush()
	k.transmit(1)
	got := k.sent[0]
	if len(got) != header.MinPacket {
		t.Fatalf("%d bytes on the wire", len(got))
	}
	for i, b := range got[header.EthernetLen+4:] {
		if b != 0 {
			t.Fatalf("padding byte %d is %#x", i, b)
		}
	}
}

// Bad packets go back to the pool at once: far more of them than cells do not stop good ones.
func TestBadPacketsCostNoCells(t *testing.T) {
	p, k := newFake(t)
	stranger, short := packet(t, []byte{1}), packet(t, []byte{1})[:header.EthernetLen]
	stranger[11] ^= 1
	var frames [8]dataplane.Frame
	for range 500 {
		if !k.deliver(stranger) || !k.deliver(short) || !k.deliver(nil) || !k.deliver(packet(t, []byte{9})) {
			t.Fatal("no cell to receive into")
		}
		if n := p.RxBurst(frames[:]); n != 1 || frames[0].Data[0] != 9 {
			t.Fatalf("%d frames", n)
		}
		p.Free(frames[:1])
	}
	if c := p.counters; c.RxStrangers != 500 || c.RxMalformed != 1000 || c.RxFrames != 500 {
		t.Fatalf("%+v", c)
	}
	expectCells(t, p)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	p, k := newFake(t)
	in := packet(t, make([]byte, 64))
	var rx, tx [4]dataplane.Frame
	if n := testing.AllocsPerRun(1000, func() {
		for range rx {
			k.deliver(in)
		}
		n := p.RxBurst(rx[:])
		k := p.Alloc(tx[:n])
		for i := range tx[:k] {
			tx[i].Data, tx[i].Peer = tx[i].Data[:64], 0
		}
		p.TxBurst(tx[:k])
		p.Flush()
		p.Free(rx[:n])
		p.tx.consumer.Store(p.tx.producer.Load())
		for i := range k {
			p.comp.addresses[(p.comp.next+uint32(i))%fakeRing] = tx[i].Cell << p.cells.shift
		}
		p.comp.producer.Add(uint32(k))
		p.Arm()
	}); n != 0 {
		t.Fatalf("%v allocations a burst", n)
	}
	if p.counters.RxFrames < 4000 || p.counters.TxFrames < 4000 {
		t.Fatalf("%+v", p.counters)
	}
}

func TestPeerTable(t *testing.T) {
	const n = 1000
	table := newPeerTable(n)
	for i := range n {
		table.add(uint64(i+1)<<40, dataplane.Peer(i))
		table.add(uint64(i+1)<<40, dataplane.Peer(i+1)) // a second peer with the address: the first one counts
	}
	for i := range n {
		if got := table.find(uint64(i+1) << 40); got != dataplane.Peer(i) {
			t.Fatalf("key %d: peer %d", i, got)
		}
	}
	for _, key := range []uint64{0, 1, n + 1, (n + 1) << 40} {
		if got := table.find(key); got != dataplane.NoPeer {
			t.Fatalf("unknown key %d: peer %d", key, got)
		}
	}
	none := newPeerTable(0)
	if none.find(5) != dataplane.NoPeer {
		t.Fatal("an empty table has a peer")
	}
}

// Whatever comes from the wire, a burst neither panics nor hands out a byte beyond the packet, and no cell is lost.
func FuzzRxBurst(f *testing.F) {
	f.Add(packet(f, []byte("payload")), false)
	udp := header.Link{Kind: header.UDP4, MAC: macB, IP: ipB, Port: 7001}
	tmpl, err := udp.Template(header.Addr{MAC: macA, IP: ipA, Port: 7000})
	must(f, err)
	datagram := make([]byte, tmpl.Len()+7)
	tmpl.Put(datagram, 7)
	f.Add(datagram, true)
	p, k := newFake(f)
	raw := p.link
	f.Fuzz(func(t *testing.T, bytes []byte, viaUDP bool) {
		bytes = bytes[:min(len(bytes), SmallCell-rxHeadroom)]
		p.link = raw
		if viaUDP {
			p.link = header.Link{Kind: header.UDP4, MAC: macA, IP: ipA, Port: 7000}
			p.peers = newPeerTable(1)
			p.peers.add(p.link.Key(header.Addr{IP: ipB, Port: 7001}), 0)
		} else {
			p.peers = newPeerTable(1)
			p.peers.add(macB.Key(), 0)
		}
		if !k.deliver(bytes) {
			t.Fatal("a cell was lost")
		}
		var frames [2]dataplane.Frame
		n := p.RxBurst(frames[:])
		if n == 1 && cap(frames[0].Data) > len(bytes) {
			t.Fatalf("%d bytes of a packet of %d", cap(frames[0].Data), len(bytes))
		}
		p.Free(frames[:n])
		p.pollEmpty(1)
		expectCells(t, p)
	})
}
