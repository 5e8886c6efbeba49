package doctor

import (
	"slices"
	"time"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/netdev"
	"wirepaxos/tools/nic"
)

// ask asks the driver of an interface in the network namespace of the calling thread. What it does not tell stays empty.
func ask(s *afxdp.Sight) Driver {
	d := Driver{Node: -1, Defer: -1, FlushNs: -1}
	if features, _, err := netdev.XDP(s.Index); err == nil {
		d.XDP, d.KnowsXDP = features, true
	}
	d.Rules, _ = nic.Rules(s.Name) // what cannot be read cannot be told of
	d.RSS, _ = nic.Indirection(s.Name)
	d.askFiles(s)
	e, err := ethtool.NewEthtool()
	if err != nil {
		return d
	}
	defer e.Close()
	if d.Name, err = e.DriverName(s.Name); err != nil {
		d.Name = ""
	}
	if d.Features, err = e.Features(s.Name); err != nil {
		d.Features = nil
	}
	if t, err := e.GetTimestampingInformation(s.Name); err == nil {
		switch {
		case t.SoTimestamping&unix.SOF_TIMESTAMPING_RX_HARDWARE != 0:
			d.Clock = "hardware"
		case t.SoTimestamping&unix.SOF_TIMESTAMPING_RX_SOFTWARE != 0:
			d.Clock = "software"
		}
	}
	return d
}

// askFiles reads what sysfs tells.
func (d *Driver) askFiles(s *afxdp.Sight) {
	files, err := netdev.OpenSysfs(s.Name, s.Index)
	if err != nil {
		return
	}
	defer files.Close()
	d.Node, d.Lacks = files.NUMANode(), files.VirtioLacks()
	if n, err := files.Number("napi_defer_hard_irqs"); err == nil {
		d.Defer = n
	}
	if n, err := files.Number("gro_flush_timeout"); err == nil {
		d.FlushNs = n
	}
}

// held tells who has which queues of an interface. The kernel frees those of a process that has just ended in a moment, which is waited for if it is the one
// that is wanted: a port waits too.
func held(s *afxdp.Sight, wanted int) []nic.Holder {
	const bound, pause = 500 * time.Millisecond, 50 * time.Millisecond
	for start := time.Now(); ; time.Sleep(pause) {
		all, err := nic.Holders(s.Index, s.Queues)
		isWanted := func(h nic.Holder) bool { return h.Queue == wanted }
		if err != nil || !slices.ContainsFunc(all, isWanted) || time.Since(start) > bound {
			return all
		}
	}
}
