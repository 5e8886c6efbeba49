package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"wirepaxos/paxos/cluster"
)

func newCluster() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Make, convert and check cluster files",
	}
	c.AddCommand(newClusterNew(), newClusterConvert(), newClusterCheck())
	return c
}

func newClusterNew() *cobra.Command {
	var from string
	var groups int
	c := &cobra.Command{
		Use:   "new",
		Short: "Print a cluster file with a freshly drawn cluster id",
		Long: `Prints a cluster.toml to fill in: 1 proposer, 3 acceptors, 1 learner and 1 client over AF_XDP. With --from it prints that file with a new
cluster id: a cluster that has stopped begins anew so, with nothing of what was chosen before.

With --groups the file has several groups: each is a Paxos of its own, and a process runs all of them, each on a loop with a queue, a UDP port
and a core of its own: the next ones after the first group's, or those that a node lists (queues = [0, 2], ports = [...], cores = [2, 4]). A NIC has
to take each group's frames to its queue. Over UDP (link = "udp4") it tells them by port: wirepaxos nic steer eth1 --udp-port 7472 --queue 1. Raw
Ethernet frames it tells by EtherType: give each group one of its own (ethertypes = [0x88B5, 0x88B6]) and steer it (--ethertype 0x88B6 --queue 1). What
comes in on a wrong queue is dropped and counted, and "wirepaxos status" tells. The kernel's UDP sockets (transport = "udp") need none of that.`,
		Example: "  wirepaxos cluster new > cluster.toml\n  wirepaxos cluster new --groups 4 > cluster.toml\n" +
			"  wirepaxos cluster new --from cluster.toml > anew.toml",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f := cluster.New()
			if from != "" {
				old, err := loadFile(from)
				if err != nil {
					return err
				}
				old.Cluster, f = f.Cluster, old
			} else {
				f.Nodes = sampleNodes()
			}
			if groups < 0 || groups > cluster.MaxGroups || groups > 1 && len(f.Groups) > 0 {
				return fmt.Errorf("--groups %d: want 1 to %d, and a file that has one so far", groups, cluster.MaxGroups)
			}
			if groups > 1 {
				f.SetGroups(groupsFrom(f.Group, groups)...)
			}
			_, err := os.Stdout.Write(f.Encode())
			return err
		},
	}
	c.Flags().IntVar(&groups, "groups", 0, "how many groups the file has")
	c.Flags().StringVar(&from, "from", "", "cluster file whose nodes and settings to keep")
	return c
}

// groupsFrom are n groups from the first on.
func groupsFrom(first uint16, n int) (groups []uint16) {
	for i := range n {
		groups = append(groups, first+uint16(i))
	}
	return groups
}

// sampleNodes are the nodes of a new file; the addresses are there to be replaced.
func sampleNodes() (nodes []cluster.Node) {
	for i, r := range []cluster.Roles{cluster.Acceptor, cluster.Acceptor, cluster.Acceptor, cluster.Proposer, cluster.Learner, cluster.Client} {
		n := cluster.NewNode(uint16(i+1), r)
		n.Interface = "eth1"
		n.MAC = cluster.MAC{2, 0, 0, 0, 0, byte(i + 1)}
		nodes = append(nodes, n)
	}
	return nodes
}

func newClusterConvert() *cobra.Command {
	return &cobra.Command{
		Use:   "convert FILE",
		Short: "Print a paxos.conf of Kernel Paxos or libpaxos as a cluster.toml",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := loadFile(args[0])
			if err != nil {
				return err
			}
			_, err = os.Stdout.Write(f.Encode())
			return err
		},
	}
}

func newClusterCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Read a cluster file and say what it means: nodes, endpoints, and how they reach each other",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := loadFile(args[0])
			if err != nil {
				return err
			}
			if len(f.Groups) > 0 {
				fmt.Printf("%d groups: the nodes of an endpoint run in one process in all of them, each on a loop of its own\n", len(f.Groups))
				if f.LinkLayer() == cluster.LinkEthernet && f.EtherTypes == nil {
					fmt.Println("to a NIC the frames of all groups look alike, and one takes all of them to one queue: give each group an EtherType of its own " +
						"(ethertypes = [...]) and steer it with `wirepaxos nic steer`, or take link = \"udp4\"")
				}
			}
			for _, g := range f.Split() {
				explainGroup(g, f.Transport == cluster.TransportAFXDP && (f.EtherTypes != nil || f.Link == cluster.LinkUDP4 && len(f.Groups) > 0))
			}
			return nil
		},
	}
}

// explainGroup says what a file means to one group; and how a NIC is told of it, where that tells it from others.
func explainGroup(f *cluster.File, steered bool) {
	fmt.Printf("cluster %#016x group %d: transport %s, batch %s, storage %s\n", f.Cluster, f.Group, f.Transport, f.Batch, f.Storage)
	ends := f.Endpoints()
	for _, e := range ends {
		core := ""
		if e.Core != cluster.NoCore {
			core = fmt.Sprintf(", core %d", e.Core)
		}
		fmt.Printf("endpoint %s on host %s%s, one process:\n", e.Key, e.Host, core)
		for _, n := range e.Nodes {
			fmt.Printf("  node %d: %v\n", n.ID, n.Roles)
		}
		if steered {
			what := fmt.Sprintf("--ethertype 0x%04X", f.EtherType)
			if f.Link == cluster.LinkUDP4 {
				what = fmt.Sprintf("--udp-port %d", e.Port)
			}
			fmt.Printf("  its NIC takes its frames there by: wirepaxos nic steer %s %s --queue %d\n", cmp.Or(e.Interface, "INTERFACE"), what, e.Queue)
		}
		for _, other := range ends {
			if other.Key != e.Key && f.Transport != cluster.TransportUDP && cluster.SameHost(e, other) {
				fmt.Printf("  reaches %s through shared memory\n", other.Key)
			}
		}
	}
}

// loadFile reads a cluster file and tells of every line in it that means nothing.
func loadFile(path string) (*cluster.File, error) {
	f, warnings, err := cluster.Load(path)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		fmt.Fprintf(os.Stderr, "wirepaxos: %v\n", w)
	}
	return f, nil
}
