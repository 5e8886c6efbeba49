package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/doctor"
)

// doctorFlags are the flags of "wirepaxos doctor".
type doctorFlags struct {
	config, ids  string
	group        int
	interfaces   []string
	json, strict bool
	hold         holdFlags
	rings        queueFlags
	flags        *pflag.FlagSet
}

func newDoctor() *cobra.Command {
	var o doctorFlags
	c := &cobra.Command{
		Use:   "doctor [--config FILE [--id N]] [--interface IF]",
		Short: "Look at this machine: what keeps roles from running, or from running well, and the command that mends it",
		Long: `Looks at kernel, privileges, memory, cores and NICs, and prints a line for each finding: green is as it should be, yellow runs slower or less
evenly than it could, red does not start or does not work. Below a line stands the command that mends it. Nothing is bound and nothing is changed.

With a cluster file the page is about what its nodes need: the cores that their loops name, the queues that they bind, MTU, mode, and the
privileges of their transport. --id names the nodes; without it they are those whose MAC or IP this machine has. With --interface it
is about that interface; with neither about the machine as such. --lock-memory, --dma-latency and --fifo, and with a cluster file --mode, --chunk,
--hugepages and --busy-poll, are what a role would be started with: the page is then about what they need.

--json prints one object. Its fields keep name and meaning; new ones may come:
  grade                 the worst of the lines: "green", "yellow" or "red"
  red, yellow, green    how many lines there are of each
  lines[].grade
  lines[].what          what was looked at: "kernel", "core 2 frequency", "eth1 link"
  lines[].text          how it is
  lines[].mend          the command, or the step, that mends it; not there on a green line

Exit status: 0 nothing is red; 1 something is; 2 it could not look. --strict makes yellow red. A role with --strict refuses to start where this page has a
line about it that is not green.`,
		Example: `  wirepaxos doctor
  wirepaxos doctor --config cluster.toml --id 1
  wirepaxos doctor --interface eth1 --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	flags := c.Flags()
	flags.StringVarP(&o.config, "config", "f", "", "cluster file, to look at what its nodes need")
	flags.StringVar(&o.ids, "id", "", "nodes of the cluster file to look at: 1,2,3; those of this machine if not given")
	flags.IntVar(&o.group, "group", 0, "group of the cluster file to look at alone; 0: all of them")
	flags.StringArrayVarP(&o.interfaces, "interface", "i", nil, "interface to look at; repeat it for several")
	flags.BoolVar(&o.json, "json", false, "one JSON object in place of the page")
	flags.BoolVar(&o.strict, "strict", false, "yellow is red")
	o.flags = flags
	o.hold.add(flags)
	o.rings.add(flags)
	return c
}

func (o *doctorFlags) run() error {
	need, err := o.need()
	if err != nil {
		return err
	}
	page := doctor.Examine(need, doctor.Here())
	if o.strict {
		page.Harden()
	}
	if o.json {
		err = writePage(page)
	} else {
		err = page.Write(os.Stdout, onTerminal(os.Stdout))
	}
	if err != nil {
		return err
	}
	if need.Bare && !o.json {
		fmt.Println("That was about the machine. About what nodes need of it: wirepaxos doctor --config cluster.toml; about a NIC: wirepaxos doctor --interface eth1")
	}
	if n := page.Count(doctor.Red); n > 0 {
		return failed("doctor: %d red, the first: %v", n, page.First())
	}
	return nil
}

// writePage writes it as JSON.
func writePage(page *doctor.Page) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Grade  doctor.Grade `json:"grade"` // the worst of the lines
		Red    int          `json:"red"`
		Yellow int          `json:"yellow"`
		Green  int          `json:"green"`
		*doctor.Page
	}{page.Worst(), page.Count(doctor.Red), page.Count(doctor.Yellow), page.Count(doctor.Green), page})
}

// onTerminal tells whether people look at a file with colours (no-color.org).
func onTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && os.Getenv("NO_COLOR") == ""
}

// need is what the flags name.
func (o *doctorFlags) need() (*doctor.Need, error) {
	var need *doctor.Need
	switch {
	case o.config != "":
		f, err := loadFile(o.config)
		if err != nil {
			return nil, err
		}
		o.rings.apply(f, givenOf(o.flags))
		if err := f.Validate(); err != nil {
			return nil, err
		}
		if f, err = chooseGroup(f, o.group); err != nil {
			return nil, err
		}
		need = o.hold.need()
		files := f.Split()
		for _, f := range files {
			ends, err := o.endpoints(f)
			if err != nil {
				return nil, err
			}
			addNeed(need, f, ends, groupPlace(f, len(files)))
		}
	case o.ids != "" || o.group != 0:
		return nil, fmt.Errorf("--id %s, --group %d: name the cluster file that has them with --config", o.ids, o.group)
	case slices.ContainsFunc(queueFlagNames, o.flags.Changed):
		return nil, fmt.Errorf("--%s: name the cluster file with --config: they are about the queues that its nodes bind", strings.Join(queueFlagNames, ", --"))
	default:
		need = o.hold.need()
		need.Bare = len(o.interfaces) == 0
	}
	for _, name := range o.interfaces {
		need.AFXDP = true
		need.NICs = append(need.NICs, doctor.NIC{Interface: name, Queue: doctor.NoQueue})
	}
	return need, nil
}

// endpoints are those of --id, or else those of this machine.
func (o *doctorFlags) endpoints(f *cluster.File) (ends []cluster.Endpoint, err error) {
	if o.ids == "" {
		return endpointsHere(f)
	}
	seen := map[string]bool{}
	for word := range strings.SplitSeq(o.ids, ",") {
		id, err := strconv.ParseUint(strings.TrimSpace(word), 10, 16)
		if err != nil {
			return nil, fmt.Errorf("--id %s: %q is no node id: want a number, or several with commas", o.ids, word)
		}
		e, err := f.EndpointOf(uint16(id))
		if err != nil {
			return nil, err
		}
		if !seen[e.Key] {
			ends = append(ends, e)
		}
		seen[e.Key] = true
	}
	return ends, nil
}

// endpointsHere are the endpoints whose address this machine, in this network namespace, has.
func endpointsHere(f *cluster.File) (ends []cluster.Endpoint, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces of this machine: %w", err)
	}
	macs, ips := map[string]bool{}, map[netip.Addr]bool{}
	for _, i := range interfaces {
		macs[i.HardwareAddr.String()] = true
		addresses, _ := i.Addrs() // one that is going away has none
		for _, a := range addresses {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				ips[prefix.Addr()] = true
			}
		}
	}
	for _, e := range f.Endpoints() {
		if f.Transport == cluster.TransportMem || !e.MAC.IsZero() && macs[e.MAC.String()] || e.IP.IsValid() && ips[e.IP] {
			ends = append(ends, e)
		}
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("%s: no node has a MAC or an IP of this machine: name those that shall run here with --id", f.Name)
	}
	return ends, nil
}
