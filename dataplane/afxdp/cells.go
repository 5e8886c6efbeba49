package afxdp

import (
	"fmt"
	"math/bits"
)

// Where a cell is.
const (
	inPool   = iota
	inKernel // in the fill ring, the driver or the RX ring
	received // with the caller, from RxBurst
	empty    // with the caller, from Alloc
	sending  // in the TX ring, the driver or the completion ring
)

// cells knows where every cell of the UMEM is.
type cells struct {
	pool  []uint32 // a stack: last in, first out
	state []uint8
	shift uint // a cell has 1<<shift bytes. Where it is used, &63 tells the compiler that it is below 64, which saves a branch

	filled   int // cells inKernel
	incoming int // cells inKernel or received
	outgoing int // cells empty or sending

	fillTarget  int // cells that the kernel shall have to receive into
	maxIncoming int // of all cells; the rest is for sending alone
	maxOutgoing int // of all cells; the rest is for receiving alone
}

// newCells shares n cells of size bytes, a power of two, out. The fill ring gets half of them at most; sending keeps a quarter at least.
//
// fillTarget never exceeds the fill ring's size, so that the fill ring cannot overflow and its consumer index need not be read.
func newCells(n, size, fillRing int) cells {
	c := cells{pool: make([]uint32, n), state: make([]uint8, n), shift: uint(bits.TrailingZeros(uint(size)))}
	for i := range c.pool {
		c.pool[i] = uint32(n - 1 - i)
	}
	c.fillTarget = min(fillRing, n/2)
	c.maxIncoming = n - n/4
	c.maxOutgoing = n - c.fillTarget
	return c
}

// pop takes the cell used last. The pool must not be empty.
func (c *cells) pop(state uint8) uint32 {
	last := len(c.pool) - 1
	cell := c.pool[last]
	c.pool = c.pool[:last]
	c.state[cell] = state
	return cell
}

func (c *cells) push(cell uint32) {
	c.state[cell] = inPool
	c.pool = append(c.pool, cell) // never grows: there are no more cells than its capacity
}

// wanted is how many cells may go to the fill ring now.
func (c *cells) wanted() int {
	return min(c.fillTarget-c.filled, c.maxIncoming-c.incoming, len(c.pool))
}

// spare is how many cells may go to Alloc now.
func (c *cells) spare() int { return min(c.maxOutgoing-c.outgoing, len(c.pool)) }

// giveBack takes a cell back that the caller has. It panics on a cell that he does not have: used on, two would write into it.
func (c *cells) giveBack(cell uint64) {
	if cell < uint64(len(c.state)) {
		switch c.state[cell] {
		case received:
			c.incoming--
			c.push(uint32(cell))
			return
		case empty:
			c.outgoing--
			c.push(uint32(cell))
			return
		}
	}
	panic(fmt.Sprintf("afxdp: cell %d was given back by a caller who does not own it", cell))
}

// owned tells whether the caller has the cell.
func (c *cells) owned(cell uint64) bool {
	return cell < uint64(len(c.state)) && (c.state[cell] == empty || c.state[cell] == received)
}
