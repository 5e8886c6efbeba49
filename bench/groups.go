package bench

import (
	"fmt"
	"slices"
	"strings"

	"wirepaxos/paxos"
)

// Several groups of one run: each is a cluster of its own with its own client, and has its own report; one more is of all together.

// GroupEnd is what is known of a group when its run is over.
type GroupEnd struct {
	Group   uint16
	Report  *Report
	Results []ClientResult
	Tallies map[paxos.NodeID]TallyReport
}

// JoinGroups makes the report of several groups together. Their loads ran side by side: values and rates are sums, latencies are those of all values,
// and what is wrong in one is wrong in all. It also holds the groups against each other: no value of one may have been delivered in another.
func JoinGroups(ends []GroupEnd) (*Report, error) {
	mixed := mixedUp(ends)
	var results []ClientResult
	for i := range ends {
		e := &ends[i]
		results = append(results, e.Results...)
		e.Report.Group = e.Group
		e.Report.Problems = append(e.Report.Problems, mixed[e.Group]...)
	}
	merged, err := Merge(results)
	if err != nil {
		return nil, err
	}
	joined := *ends[0].Report
	joined.Group, joined.Wire, joined.Costs, joined.Stages = 0, nil, nil, nil
	joined.TakeClients(&merged)
	joined.ValuesPerS, joined.MbitPerS, joined.Instances, joined.FramesPerValue = 0, 0, 0, 0
	joined.Drops, joined.Syscalls, joined.Lost, joined.Duplicated, joined.Reordered, joined.Equal = 0, 0, 0, 0, 0, true
	joined.Learners, joined.Problems, joined.Notes, joined.Cores, joined.Sockets = nil, nil, nil, nil, nil
	for i := range ends {
		joined.add(ends[i].Report)
	}
	if joined.Values > 0 {
		joined.FramesPerValue /= float64(joined.Values)
	}
	return &joined, nil
}

// add adds what one group's report has to that of all. FramesPerValue is the number of frames until all are there.
func (r *Report) add(one *Report) {
	r.Groups = append(r.Groups, one)
	r.ValuesPerS, r.MbitPerS = r.ValuesPerS+one.ValuesPerS, r.MbitPerS+one.MbitPerS
	r.Instances += one.Instances
	r.FramesPerValue += one.FramesPerValue * float64(one.Values)
	r.Drops, r.Syscalls = r.Drops+one.Drops, r.Syscalls+one.Syscalls
	r.Lost, r.Duplicated, r.Reordered = r.Lost+one.Lost, r.Duplicated+one.Duplicated, r.Reordered+one.Reordered
	r.Equal = r.Equal && one.Equal
	for _, l := range one.Learners {
		l.Group = one.Group
		r.Learners = append(r.Learners, l)
	}
	for _, p := range one.Problems {
		r.Problems = append(r.Problems, fmt.Sprintf("%s%s", groupOf(one.Group), p))
	}
	for _, n := range one.Notes {
		if text := groupOf(one.Group) + n; !slices.Contains(r.Notes, text) {
			r.Notes = append(r.Notes, text)
		}
	}
	for _, c := range one.Cores {
		c.Group = one.Group
		r.Cores = append(r.Cores, c)
	}
	for _, s := range one.Sockets {
		s.Group = one.Group
		r.Sockets = append(r.Sockets, s)
	}
}

// mixedUp finds values that a group delivered and another one's client submitted: what is wrong, by the group that delivered them.
func mixedUp(ends []GroupEnd) map[uint16][]string {
	owner := map[uint64]uint16{}
	for i := range ends {
		for _, r := range ends[i].Results {
			for _, a := range r.Acknowledged {
				owner[a.Client] = ends[i].Group
			}
		}
	}
	wrong := map[uint16][]string{}
	for i := range ends {
		for _, id := range sortedIDs(ends[i].Tallies) {
			for _, c := range ends[i].Tallies[id].Clients {
				if of, known := owner[c.Client]; known && of != ends[i].Group {
					wrong[ends[i].Group] = append(wrong[ends[i].Group], fmt.Sprintf("learner %d delivered values of client %016x, which submitted them to group %d",
						id, c.Client, of))
				}
			}
		}
	}
	return wrong
}

func sortedIDs(tallies map[paxos.NodeID]TallyReport) (ids []paxos.NodeID) {
	for id := range tallies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// groupOf is what a line about something of one of several groups begins with.
func groupOf(group uint16) string {
	if group == 0 {
		return ""
	}
	return fmt.Sprintf("group %d: ", group)
}

// learners is how many learners a group has.
func (r *Report) learners() int { return len(r.Learners) / max(len(r.Groups), 1) }

// groupsText says how many groups there are, if several.
func (r *Report) groupsText() string {
	if len(r.Groups) == 0 {
		return ""
	}
	return fmt.Sprintf("in each of %d groups", len(r.Groups))
}

// groupLines are the values and latencies of each of several groups.
func (r *Report) groupLines(b *strings.Builder) {
	if len(r.Groups) == 0 {
		return
	}
	for _, g := range r.Groups {
		fmt.Fprintf(b, "group %-5d %13s   values/s, p50 %s, p99 %s µs\n", g.Group, grouped(g.ValuesPerS), decimals(g.LatencyUs.P50), decimals(g.LatencyUs.P99))
	}
	b.WriteByte('\n')
}
