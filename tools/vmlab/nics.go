package main

import (
	"fmt"
	"os"
)

// What a NIC of the guest is plugged into. A plug above plugHubs is a hub of QEMU's own, by that many more than it.
const (
	plugWire = iota // the switch in this process: a frame is carried by two system calls and two copies
	plugTaps        // a pair of taps that the host's kernel joins: as many queues as the guest has cores
	plugHubs        // in QEMU, from one NIC to the other, so that what is measured there is the guest's side
)

// machineNIC is a NIC of the guest.
type machineNIC struct {
	name, mac string
	plug      int
	flags     string // of the device, besides those that all have
}

// What virtio_net asks of a device for zero-copy: that buffers are mapped for it (off if nothing is said), and that a queue can be reset on its own (on if
// nothing is said).
const (
	mapped       = ",iommu_platform=on"
	resettable   = ",queue_reset=on"
	unresettable = ",queue_reset=off"
)

// nics are those of the guest.
var nics = []machineNIC{
	{"wire0", "02:00:00:00:00:0a", plugWire, mapped + resettable},
	{"wire1", "02:00:00:00:00:0b", plugWire, mapped + resettable},
	{"hub0", "02:00:00:00:00:1a", plugHubs + 1, mapped + resettable},
	{"hub1", "02:00:00:00:00:1b", plugHubs + 1, mapped + resettable},
	{"plain0", "02:00:00:00:00:0c", plugWire, unresettable},
	{"noreset0", "02:00:00:00:00:2a", plugHubs + 2, mapped + unresettable},
	{"unmapped0", "02:00:00:00:00:2b", plugHubs + 2, resettable},
	{"pair0", "02:00:00:00:00:3a", plugTaps, mapped + resettable},
	{"pair1", "02:00:00:00:00:3b", plugTaps, mapped + resettable},
}

// cores of the guest, and queues of a NIC on taps. The last core is isolated.
const cores = 2

// nicArguments are QEMU's, for those NICs whose plug is there. Files that are left open for QEMU have numbers from firstFile on.
func nicArguments(folder string, t *taps) (args []string, files []*os.File) {
	const firstFile = 3 // os/exec: ExtraFiles begin there
	for i, n := range present(t) {
		device := fmt.Sprintf("virtio-net-pci,netdev=n%d,mac=%s,romfile=,disable-legacy=on%s", i, n.mac, n.flags)
		netdev := fmt.Sprintf("hubport,id=n%d,hubid=%d", i, n.plug-plugHubs)
		switch n.plug {
		case plugWire:
			netdev = fmt.Sprintf("dgram,id=n%d,local.type=unix,local.path=%[2]s/nic-%[3]s,remote.type=unix,remote.path=%[2]s/wire-%[3]s", i, folder, n.name)
		case plugTaps:
			device += fmt.Sprintf(",mq=on,vectors=%d", 2*cores+2)
			netdev = fmt.Sprintf("tap,id=n%d,vhost=off,fds=", i)
			for q, f := range t.queues[n.name] {
				if q > 0 {
					netdev += ":"
				}
				netdev += fmt.Sprint(firstFile + len(files))
				files = append(files, f)
			}
		}
		args = append(args, "-device", device, "-netdev", netdev)
	}
	return args, files
}

// present are the NICs that the guest gets: those on taps only where taps can be had.
func present(t *taps) []machineNIC {
	var all []machineNIC
	for _, n := range nics {
		if n.plug != plugTaps || t != nil {
			all = append(all, n)
		}
	}
	return all
}

func plugged(plug int) []machineNIC {
	var all []machineNIC
	for _, n := range nics {
		if n.plug == plug {
			all = append(all, n)
		}
	}
	return all
}
