package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/paxos/node"
)

func newAdmin() *cobra.Command {
	c := &cobra.Command{
		Use:   "admin",
		Short: "See who leads and why, and hand leadership over",
		Long:  `These commands ask running processes on the sockets that they were started with: --control SOCKET.`,
	}
	c.AddCommand(newAdminStatus(), newAdminHandover())
	return c
}

func newAdminStatus() *cobra.Command {
	var asJSON bool
	var group uint16
	c := &cobra.Command{
		Use:   "status SOCKET...",
		Short: "Who leads, since when and why, as each process sees it",
		Long: `Asks processes who leads and prints their answers side by side: for each proposer whom it follows, by which ballot, since
when, and why that changed; for each acceptor what it promised and which leader it heard last; then the changes of leadership that each
proposer remembers, and what is in the way of moving on. A proposer that says that it leads may be out of date; the one with the highest
ballot has the newest to say.`,
		Example: "  wirepaxos admin status /run/wirepaxos/node4.sock /run/wirepaxos/node5.sock",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			answers := askAll(args, group)
			if asJSON {
				e := json.NewEncoder(os.Stdout)
				e.SetIndent("", "  ")
				if err := e.Encode(answers); err != nil {
					return err
				}
			} else {
				printLeadership(os.Stdout, answers)
			}
			for _, a := range answers {
				if a.Error != "" {
					return failed("not every process answered")
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what the processes answered, as one JSON array")
	addGroup(c, &group)
	return c
}

func newAdminHandover() *cobra.Command {
	var group uint16
	c := &cobra.Command{
		Use:   "handover SOCKET NODE",
		Short: "Hand leadership over to another proposer",
		Long: `Asks the process of the proposer that leads to hand over to proposer NODE (in a paxos.conf: its number there), and waits for the
outcome. The leader goes on until the other one has taken over, so clients notice a redirect and no more. Nothing is lost if it fails: the
leader leads on. Where the process runs several groups, --group says in which.`,
		Example: "  wirepaxos admin handover /run/wirepaxos/node4.sock 5\n  wirepaxos admin handover /run/wirepaxos/node4.sock 5 --group 2",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var h node.Handover
			if err := node.Ask(args[0], ofGroup("handover "+args[1], group), &h); err != nil {
				return failure{err}
			}
			fmt.Printf("node %d leads by ballot %s after %.1f ms\n", h.To, h.Ballot, h.TookMs)
			return nil
		},
	}
	c.Flags().Uint16Var(&group, "group", 0, "group in which to hand over, where the process runs several")
	return c
}

// processAnswer is what one process answered.
type processAnswer struct {
	Socket string       `json:"socket"`
	Error  string       `json:"error,omitempty"`
	Status *node.Status `json:"status,omitempty"`
}

// askAll asks all processes at the same time: what they say belongs together. There is an answer for each group of a process.
func askAll(sockets []string, group uint16) []processAnswer {
	answers := make([][]processAnswer, len(sockets))
	var asking sync.WaitGroup
	for i, socket := range sockets {
		asking.Go(func() {
			all, err := node.AskAll[*node.Status](socket, ofGroup("status", group))
			if err != nil {
				answers[i] = []processAnswer{{Socket: socket, Error: err.Error()}}
				return
			}
			for _, s := range all {
				answers[i] = append(answers[i], processAnswer{Socket: socket, Status: s})
			}
		})
	}
	asking.Wait()
	return slices.Concat(answers...)
}

// groupColumn is the group of an answer, where answers are of several.
func groupColumn(answers []processAnswer) func(a *processAnswer) string {
	groups := map[uint16]bool{}
	for _, a := range answers {
		if a.Status != nil {
			groups[a.Status.Group] = true
		}
	}
	return func(a *processAnswer) string {
		if len(groups) < 2 {
			return ""
		}
		return fmt.Sprintf("group %d: ", a.Status.Group)
	}
}

func printLeadership(to io.Writer, answers []processAnswer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	group := groupColumn(answers)
	for _, a := range answers {
		if a.Status == nil {
			fmt.Fprintln(w, a.Error)
			continue
		}
		for _, p := range a.Status.Proposers {
			fmt.Fprintf(w, "%sproposer %d\t%s\tfor %v\t%s\n", group(&a), p.ID, stand(&p), span(p.SinceS), p.Why)
		}
		for _, c := range a.Status.Acceptors {
			fmt.Fprintf(w, "%sacceptor %d\t%s\n", group(&a), c.ID, hears(&c))
		}
	}
	w.Flush()
	for _, a := range answers {
		if a.Status == nil {
			continue
		}
		for _, p := range a.Status.Proposers {
			printChanges(to, group(&a), &p)
		}
		for _, t := range a.Status.Trouble {
			fmt.Fprintf(to, "\n%strouble: %s\n", group(&a), t)
		}
	}
}

// stand is what a proposer does.
func stand(p *node.ProposerStatus) string {
	switch {
	case p.Leads && p.HandoverTo != 0:
		return fmt.Sprintf("leads by ballot %s and hands over to node %d", p.Ballot, p.HandoverTo)
	case p.Leads:
		return "leads by ballot " + p.Ballot
	case p.Leader != 0:
		return fmt.Sprintf("follows node %d, ballot %s", p.Leader, p.Ballot)
	}
	return "knows no leader"
}

func hears(a *node.AcceptorStatus) string {
	switch {
	case !a.Votes:
		return "does not vote: it restarted without its promises"
	case a.HeardS == 0:
		return fmt.Sprintf("promised %s, heard no leader yet", a.Promised)
	}
	return fmt.Sprintf("promised %s, heard the leader by ballot %s %v ago", a.Promised, a.Hears, span(a.HeardS))
}

func printChanges(to io.Writer, group string, p *node.ProposerStatus) {
	fmt.Fprintf(to, "\n%schanges of leadership as proposer %d saw them:\n", group, p.ID)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, c := range p.Changes {
		who := fmt.Sprintf("node %d leads by ballot %s", c.Leader, c.Ballot)
		if c.Leader == 0 {
			who = "nobody leads"
		}
		fmt.Fprintf(w, "  %v ago\t%s\t%s\n", span(c.AgoS), who, c.Why)
	}
	w.Flush()
}

// span is a number of seconds for people: three digits are enough.
func span(s float64) time.Duration {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
