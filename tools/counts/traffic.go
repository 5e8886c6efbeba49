package main

import (
	"fmt"

	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/sim"
)

// The load that the simulator plays.
const (
	trafficValues = 2000
	trafficSize   = 64
)

// traffic counts what a value costs on the network: one at a time and many, in each kind of batching, with every role on a machine of its own and on two; and with
// multicast.
func traffic() (figures []figure, err error) {
	for _, layout := range []string{"apart", "packed"} {
		for _, batch := range []cluster.Batch{cluster.BatchInstance, cluster.BatchFrame, cluster.BatchOff} {
			for _, outstanding := range []int{1, 64} {
				for _, multicast := range []bool{false, true} {
					load := sim.Steady{
						Packed: layout == "packed", Batch: batch, Multicast: multicast, Outstanding: outstanding, Size: trafficSize, Values: trafficValues,
					}
					name := fmt.Sprintf("sim/%s/batch-%s/%d", layout, batch, outstanding)
					if multicast {
						name += "/multicast"
					}
					more, err := trafficOf(name, &load)
					if err != nil {
						return nil, err
					}
					figures = append(figures, more...)
				}
			}
		}
	}
	return figures, nil
}

func trafficOf(name string, load *sim.Steady) (figures []figure, err error) {
	t, err := load.Measure()
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		what string
		n    uint64
	}{{"frames", t.Frames}, {"messages", t.Messages}, {"bytes", t.Bytes}, {"turns", t.Turns}} {
		figures = append(figures, figure{name: name, unit: c.what + "/value", value: float64(c.n) / float64(t.Values)}.settle())
	}
	return figures, nil
}
