package udp

// noCell stands where an entry of the receiving vector has no cell.
const noCell = ^uint32(0)

// pool is a stack of free cells: the one freed last is the warmest in the cache.
type pool struct {
	cells []uint32 // never grows past its first capacity
}

// newPool holds count cells from first on.
func newPool(first, count int) pool {
	cells := make([]uint32, count)
	for i := range cells {
		cells[i] = uint32(first + count - 1 - i)
	}
	return pool{cells}
}

func (p *pool) take() (cell uint32, ok bool) {
	last := len(p.cells) - 1
	if last < 0 {
		return noCell, false
	}
	cell = p.cells[last]
	p.cells = p.cells[:last]
	return cell, true
}

func (p *pool) give(cell uint32) {
	n := len(p.cells)
	if n == cap(p.cells) {
		panic("udp: more frames were given back than there are: one was freed twice")
	}
	p.cells = p.cells[:n+1]
	p.cells[n] = cell
}
