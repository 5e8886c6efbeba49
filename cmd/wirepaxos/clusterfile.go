package main

import (
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
	c := &cobra.Command{
		Use:   "new",
		Short: "Print a cluster file with a freshly drawn cluster id",
		Long: `Prints a cluster.toml to fill in: 1 proposer, 3 acceptors, 1 learner and 1 client over AF_XDP. With --from it prints that file with a new
cluster id: a cluster that has stopped begins anew so, with nothing of what was chosen before.`,
		Example: "  wirepaxos cluster new > cluster.toml\n  wirepaxos cluster new --from cluster.toml > anew.toml",
		Args:    cobra.NoArgs,
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
			_, err := os.Stdout.Write(f.Encode())
			return err
		},
	}
	c.Flags().StringVar(&from, "from", "", "cluster file whose nodes and settings to keep")
	return c
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
			fmt.Printf("cluster %#016x group %d: transport %s, batch %s, storage %s\n", f.Cluster, f.Group, f.Transport, f.Batch, f.Storage)
			ends := f.Endpoints()
			for _, e := range ends {
				fmt.Printf("endpoint %s on host %s, one process:\n", e.Key, e.Host)
				for _, n := range e.Nodes {
					fmt.Printf("  node %d: %v\n", n.ID, n.Roles)
				}
				for _, other := range ends {
					if other.Key != e.Key && f.Transport != cluster.TransportUDP && cluster.SameHost(e, other) {
						fmt.Printf("  reaches %s through shared memory\n", other.Key)
					}
				}
			}
			return nil
		},
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
