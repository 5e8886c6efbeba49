package simwire

// Where a cell is.
const (
	inPool   uint8 = iota
	empty          // with the owner of a port, from Alloc
	sending        // in a port, before Flush
	onWire         // on its way
	queued         // in a port, before RxBurst
	received       // with the owner of a port, from RxBurst
)

// chunk is how many cells are made at once.
const chunk = 64

// cell is a place for one frame.
type cell struct {
	data     []byte  // MTU bytes
	length   int     // of the payload, from TxBurst on
	from, to Address // to: ^i for group i of the port, before Flush
	port     *Port   // whose owner or queue has it; nil in the pool and on the wire
	state    uint8
}

// cells are all cells of a network. Their number grows to what is needed at once; config bounds that.
type cells struct {
	mtu  int
	all  []cell
	pool []uint32 // a stack: last in, first out
}

// take hands out an empty cell.
func (c *cells) take(state uint8, port *Port) uint32 {
	if len(c.pool) == 0 {
		c.grow()
	}
	last := len(c.pool) - 1
	i := c.pool[last]
	c.pool = c.pool[:last]
	c.all[i].state, c.all[i].port = state, port
	return i
}

// grow adds cells. Their memory stays where it is when the table moves.
func (c *cells) grow() {
	stride := (c.mtu + 63) &^ 63
	memory := make([]byte, chunk*stride)
	first := len(c.all)
	for i := range chunk {
		at := i * stride
		c.all = append(c.all, cell{data: memory[at : at+c.mtu : at+c.mtu]})
	}
	for i := chunk - 1; i >= 0; i-- {
		c.pool = append(c.pool, uint32(first+i))
	}
}

func (c *cells) give(i uint32) {
	c.all[i].state, c.all[i].port = inPool, nil
	c.pool = append(c.pool, i)
}

// giveAll takes back every cell that a port or its owner has.
func (c *cells) giveAll(port *Port) {
	for i := range c.all {
		if c.all[i].port == port {
			c.give(uint32(i))
		}
	}
}
