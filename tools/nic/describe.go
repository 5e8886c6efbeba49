package nic

import (
	"fmt"
	"strings"
)

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func (q *Queues) describe() string {
	if !q.FromDriver {
		return fmt.Sprintf("%d (the driver does not tell how many are in use)", q.Combined)
	}
	var parts []string
	for _, c := range []struct {
		name     string
		now, max int
	}{{"combined", q.Combined, q.MaxCombined}, {"rx", q.Rx, q.MaxRx}, {"tx", q.Tx, q.MaxTx}} {
		if c.max > 0 {
			parts = append(parts, fmt.Sprintf("%d %s of %d", c.now, c.name, c.max))
		}
	}
	return fmt.Sprintf("%d usable (%s)", q.Usable(), strings.Join(parts, ", "))
}

func (x *XDP) describe() string {
	if !x.Known {
		return "unknown"
	}
	switch {
	case !x.Native:
		return "generic only: the driver reports none"
	case x.ZeroCopy:
		return "native, zero-copy (" + strings.Join(x.Features, " ") + ")"
	}
	if len(x.Lacks) > 0 {
		return "native, copy only: the virtual machine was started without " + strings.Join(x.Lacks, ", ") + " (" + strings.Join(x.Features, " ") + ")"
	}
	return "native, copy only (" + strings.Join(x.Features, " ") + ")"
}

func (i *Interface) describeProgram() string {
	p := i.Program
	text := fmt.Sprintf("%s (id %d), ", orElse(p.Name, "unnamed"), p.ID)
	if p.Ours {
		text += "ours, "
	} else {
		text += "a stranger's: ports here refuse to open, "
	}
	if p.Native {
		text += "in the driver"
	} else {
		text += "generic"
	}
	switch {
	case i.Pinned:
		text += ", pinned: stays when no role runs"
	case p.Ours:
		text += ", goes with the last process"
	}
	return text
}

// Who names the processes; "" if there is none that can be seen from here.
func (h *Holder) Who() string {
	var names []string
	for _, p := range h.Processes {
		names = append(names, p.String())
	}
	text := strings.Join(names, ", ")
	if h.Candidate && len(names) > 1 {
		text = "one of " + text
	}
	return text
}

func (h *Holder) describe() string {
	return "AF_XDP socket of " + orElse(h.Who(), "a process that cannot be seen from here")
}
