package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/dataplane"
	"wirepaxos/tools/nic"
)

func newNICTune() *cobra.Command {
	var queues, rxRing, txRing, coalesce, deferIRQs uint32
	var flush time.Duration
	var cores string
	var busyPoll, keepTags bool
	var c *cobra.Command
	c = nicCommand("tune", "Set an interface up for poll loops",
		`Sets what is asked for, and nothing else. What the driver does not have is said and skipped. Old values are kept, for restore, before the first change.

--busy-poll sets what the kernel's document on AF_XDP wants for busy polling: --defer-hard-irqs 2 --gro-flush-timeout 200us. --loop-cores takes the NIC's
interrupts off the cores of loops. --queues fails while a port holds a queue, on most drivers.`,
		`  wirepaxos nic tune eth1 --queues 1
  wirepaxos nic tune eth1 --busy-poll --coalesce-usecs 0 --loop-cores 2,3
  wirepaxos nic tune eth1 --rx-ring 4096 --tx-ring 4096 --dry-run`,
		func(o nic.Options, name string) error {
			var t nic.Tuning
			for _, f := range []struct {
				flag  string
				value *uint32
				place **uint32
			}{
				{"queues", &queues, &t.Queues}, {"rx-ring", &rxRing, &t.RxRing}, {"tx-ring", &txRing, &t.TxRing},
				{"coalesce-usecs", &coalesce, &t.CoalesceUsecs}, {"defer-hard-irqs", &deferIRQs, &t.DeferHardIRQs},
			} {
				if c.Flags().Changed(f.flag) {
					*f.place = f.value
				}
			}
			if c.Flags().Changed("gro-flush-timeout") {
				t.GroFlushTimeout = &flush
			}
			if busyPoll {
				t.BusyPolling()
			}
			t.KeepTags = keepTags
			var err error
			if t.LoopCores, err = dataplane.ParseCores(cores); err != nil {
				return fmt.Errorf("--loop-cores: %w: want numbers and ranges, like 0-3,8", err)
			}
			return nic.Tune(o, name, t)
		})
	f := c.Flags()
	f.Uint32Var(&queues, "queues", 0, "number of combined queues")
	f.Uint32Var(&rxRing, "rx-ring", 0, "descriptors of a receive ring")
	f.Uint32Var(&txRing, "tx-ring", 0, "descriptors of a transmit ring")
	f.Uint32Var(&coalesce, "coalesce-usecs", 0, "how long an interrupt waits for more packets, both ways, µs; turns adaptive coalescing off")
	f.BoolVar(&busyPoll, "busy-poll", false, "what busy polling wants: --defer-hard-irqs 2 --gro-flush-timeout 200us")
	f.Uint32Var(&deferIRQs, "defer-hard-irqs", 0, "empty polls before interrupts are on again (napi_defer_hard_irqs)")
	f.DurationVar(&flush, "gro-flush-timeout", 0, "how long interrupts are held back (gro_flush_timeout)")
	f.BoolVar(&keepTags, "keep-vlan-tags", false, "do not let the NIC take VLAN tags out of packets (rx-vlan-offload off): XDP would not see them")
	f.StringVar(&cores, "loop-cores", "", "cores of loops, like 2,3 or 2-5: the NIC's interrupts go elsewhere")
	return c
}
