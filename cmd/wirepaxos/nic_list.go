package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"wirepaxos/tools/nic"
)

// nicListFields documents what --json prints. Each field of nic.Interface has a line here, by its path, and nothing else has; a test compares.
const nicListFields = `
  name                            as ` + "`ip link`" + ` has it
  index                           the kernel's number of the interface in its network namespace
  kind                            "device" for hardware; else "veth", "vlan", "bond" and so on
  driver, bus                     the driver's name, and where the device sits ("0000:3b:00.0"); "" where there is none
  mac, mtu
  up, running                     whether it was set up, and whether its link is there
  speed_mbps                      0: unknown
  numa_node                       -1: none, or unknown
  queues.combined                 queues that receive and send
  queues.rx, queues.tx            queues of one direction, of drivers that count those
  queues.max_combined             how many the driver can have, of each kind
  queues.max_rx, queues.max_tx
  queues.from_driver              false: the driver does not tell, and these are what the kernel has allocated
  xdp.known                       whether the kernel tells what the driver can do; false: the other fields of xdp say nothing
  xdp.native                      a program can run in the driver
  xdp.zero_copy                   a socket can be zero-copy, if the driver takes its MTU, queues and settings
  xdp.lacks                       what keeps a virtio device from zero-copy, as QEMU calls it: "iommu_platform=on", "queue_reset=on"
  xdp.features                    the kernel's words for what the driver can do: "basic", "redirect", "xsk-zerocopy", ...
  xdp.zero_copy_max_segments      buffers of one zero-copy packet
  program                         null: no XDP program is attached
  program.id, program.name        the kernel's number of it, and its name
  program.ours                    roles share it
  program.native                  it runs in the driver
  pinned                          it stays while no role runs: nic attach
  holders[].queue                 a queue that has an AF_XDP socket
  holders[].processes[].pid       whose it is; none: a process that cannot be seen
  holders[].processes[].command
  holders[].candidate             the kernel does not tell whose: it is one of these processes
  rules[].place                   of an ntuple rule in the NIC's table
  rules[].match                   its packets: "EtherType 0x88B5", "UDP port 7471 of 10.0.0.1, VLAN 7", "other packets"
  rules[].queue                   where they go; -1: they are dropped; -2: to a virtual function, or to an RSS context
  default_route                   it carries a default route, or lies below an interface that does
  changed                         settings that steer and tune changed, and restore puts back
  notes                           what could not be read, and why`

func newNICList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [INTERFACE...]",
		Short: "Show interfaces as a poll-mode program sees them",
		Long: `Shows all interfaces of this network namespace but the loopback one, or those that are named.

XDP and zero-copy support are what the driver reports in the kernel's netdev netlink family; a role reports what its socket really got. Who holds a queue
is told exactly by kernels with CONFIG_XDP_SOCKETS_DIAG; others tell which queues are held, and the processes that could are named.

--json prints an array of objects. Their fields are always there and keep name and meaning; new ones may come:
` + nicListFields,
		Example: `  wirepaxos nic list
  wirepaxos nic list eth1 --json`,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := nic.List(nic.DefaultPlaces(), args...)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(os.Stdout)
				e.SetIndent("", "  ")
				return e.Encode(all)
			}
			if len(all) == 0 {
				fmt.Println("no interfaces but the loopback one")
			}
			for i := range all {
				fmt.Print(all[i].String())
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
