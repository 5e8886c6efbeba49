package simwire

// TapKind is what became of a frame.
type TapKind uint8

// A frame is Sent first, whatever becomes of it. One to a group is Sent to each member, and is that many frames from there on. Then a frame is
// lost (Dropped, CutOff, WireFull) or put on the wire, perhaps twice (Duplicated tells of the second copy, which may be lost to WireFull as
// well) and perhaps Corrupted (Data is what is left). Each copy ends as Delivered, QueueFull or NoPort.
const (
	Sent       TapKind = iota // Flush
	Dropped                   // DropPPM
	CutOff                    // the link is cut
	Duplicated                // DuplicatePPM: a copy
	Corrupted                 // CorruptPPM
	Delivered                 // arrived, and lies in the receive queue
	QueueFull                 // arrived, and found no room in the receive queue
	NoPort                    // arrived where no port is open
	WireFull                  // lost: Config.Wire frames are on their way
	tapKinds
)

var tapNames = [tapKinds]string{"sent", "dropped", "cut-off", "duplicated", "corrupted", "delivered", "queue-full", "no-port", "wire-full"}

func (k TapKind) String() string { return tapNames[k] }

// TapEvent is what a tap is told. Data is the frame's payload, good for the length of the call, and not to be changed.
type TapEvent struct {
	Now      int64
	From, To Address
	Kind     TapKind
	Data     []byte
}

// Counts are how many events of each kind there were.
type Counts [tapKinds]uint64

// Tap adds a listener that hears of every frame. It must not call the network. Listeners are called in the order in which they were added.
func (n *Net) Tap(hear func(e TapEvent)) { n.taps = append(n.taps, hear) }

// Counts are the counts since New.
func (n *Net) Counts() Counts { return n.counts }

// tell counts what became of the frame in a cell, and tells it.
func (n *Net) tell(kind TapKind, c *cell) {
	n.counts[kind]++
	for _, hear := range n.taps {
		hear(TapEvent{Now: n.now, From: c.from, To: c.to, Kind: kind, Data: c.data[:c.length]})
	}
}
