package cluster

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The paxos.conf of Kernel Paxos and of libpaxos, as they are:
//
//	acceptor|a  NUMBER MAC        Kernel Paxos: raw Ethernet over AF_XDP
//	proposer|p  NUMBER IP PORT    libpaxos: UDP sockets
//	replica|r   ...               one node that is acceptor, proposer and learner
//	OPTION VALUE                  see confOptions
//
// Keywords and options in any case, words parted by blanks. A line that begins with "#" is a comment. Kernel Paxos discards any line with a "#" in
// it, so that its nodes do not count there; here such a line of a Kernel Paxos file is discarded with a warning. In a libpaxos file
// what stands behind the "#" is cut off.
//
// Numbers: acceptors and proposers are numbered apart there, each from 0. Here every node has an id of its own, by rule and not by
// place in the file:
//
//	acceptor i -> node 1+i,  proposer i -> node 17+i,  replica i -> node 33+i   (i below 16)
//
// Find(Acceptor, i) looks a number up; a replica is found by each of its roles. Ids from 49 up are left to AddNode, since these files
// name no learners and no clients.
//
// Cluster id: these files have none, so it is the first 8 bytes of the SHA-256 of the node lines, sorted and spelled alike: the same
// members give the same id, whatever the options and comments say. All machines must have the same node lines, as there. To
// begin anew with the same members, set Cluster to a drawn id on all of them, or convert the file.

// confNumbers is how many numbers a role has in a paxos.conf.
const confNumbers = 16

// confName is a node's name in a paxos.conf: "acceptor 2".
type confName struct {
	roles  Roles
	number uint16
}

// confKinds are the node keywords with the id of their number 0.
var confKinds = map[string]struct {
	roles Roles
	first uint16
}{
	"acceptor": {Acceptor, 1}, "a": {Acceptor, 1},
	"proposer": {Proposer, 17}, "p": {Proposer, 17},
	"replica": {Replica, 33}, "r": {Replica, 33},
}

// confNameOf returns what a paxos.conf calls the node.
func (f *File) confNameOf(n Node) (confName, bool) {
	for _, kind := range []Roles{Replica, Acceptor, Proposer} {
		for i := range uint16(confNumbers) {
			if id, ok := f.names[confName{kind, i}]; ok && id == n.ID {
				return confName{kind, i}, true
			}
		}
	}
	return confName{}, false
}

// confReader reads a paxos.conf line by line.
type confReader struct {
	f        *File
	warnings []Warning
	ethernet bool // the node lines have MACs
	line     int
}

// parseConf reads a paxos.conf. The first node line decides which of the two systems it is of.
func parseConf(name string, data []byte) (*File, []Warning, error) {
	c := &confReader{f: defaults(), ethernet: confIsEthernet(data)}
	c.f.Name, c.f.lines, c.f.names = name, make(map[string]int), make(map[confName]uint16)
	c.f.Transport = TransportUDP
	if c.ethernet {
		c.f.Transport = TransportAFXDP
	}
	for line := range bytes.Lines(data) {
		c.line++
		if err := c.read(string(line)); err != nil {
			return nil, nil, &Error{File: name, Line: c.line, Text: err.Error()}
		}
	}
	if len(c.f.Nodes) == 0 {
		return nil, nil, c.f.fault("node", "no acceptor, proposer or replica: write lines such as \"acceptor 0 02:00:00:00:00:01\", or a cluster.toml")
	}
	c.f.Cluster = confCluster(c.f.Nodes)
	if err := c.f.Validate(); err != nil {
		return nil, nil, err
	}
	c.warnShared()
	slices.SortStableFunc(c.warnings, func(a, b Warning) int { return cmp.Compare(a.Line, b.Line) })
	return c.f, c.warnings, nil
}

// confIsEthernet tells whether the first node line has a MAC.
func confIsEthernet(data []byte) bool {
	for line := range bytes.Lines(data) {
		words := strings.Fields(string(line))
		if len(words) < 3 {
			continue
		}
		if _, ok := confKinds[strings.ToLower(words[0])]; ok {
			return strings.Contains(words[2], ":")
		}
	}
	return false
}

// read takes one line.
func (c *confReader) read(line string) error {
	line = strings.TrimSpace(line)
	if cut := strings.IndexByte(line, '#'); cut > 0 && c.ethernet {
		c.warn("discarded, as Kernel Paxos discards every line with a \"#\": put the comment on a line of its own if the rest is to count")
		return nil
	} else if cut >= 0 {
		line = line[:cut]
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	key := strings.ToLower(words[0])
	if _, ok := confKinds[key]; ok {
		return c.readNode(key, words[1:])
	}
	return c.readOption(key, words[1:])
}

func (c *confReader) warn(format string, args ...any) {
	c.warnings = append(c.warnings, Warning{File: c.f.Name, Line: c.line, Text: fmt.Sprintf(format, args...)})
}

// readNode takes the words behind a node's keyword.
func (c *confReader) readNode(key string, words []string) error {
	if c.ethernet && len(words) != 2 || !c.ethernet && len(words) != 3 {
		return fmt.Errorf("%q makes no sense behind %s: write NUMBER MAC in all lines, or NUMBER IP PORT in all lines", strings.Join(words, " "), key)
	}
	number, err := strconv.ParseUint(words[0], 10, 16)
	if err != nil || number >= confNumbers {
		return fmt.Errorf("%s number %q is out of range: write 0 to %d", key, words[0], confNumbers-1)
	}
	kind := confKinds[key]
	n := NewNode(kind.first+uint16(number), kind.roles)
	if err := c.readAddress(&n, words[1:]); err != nil {
		return fmt.Errorf("%s %d: %w", key, number, err)
	}
	for _, role := range []Roles{Acceptor, Proposer, Learner, Replica} {
		if !n.Roles.Has(role) {
			continue
		}
		name := confName{role, uint16(number)}
		if _, taken := c.f.names[name]; taken {
			return fmt.Errorf("%s %d is there already: give every %s a number of its own (a replica is all three roles)", role, number, role)
		}
		c.f.names[name] = n.ID
	}
	n.lines = map[string]int{"": c.line}
	c.f.Nodes = append(c.f.Nodes, n)
	return nil
}

func (c *confReader) readAddress(n *Node, words []string) (err error) {
	if c.ethernet {
		n.MAC, err = ParseMAC(words[0])
		return err
	}
	if n.IP, err = parseIP(words[0]); err != nil {
		return err
	}
	port, err := strconv.ParseUint(words[1], 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("port %q is not a port: write %d to %d", words[1], spanPort.lo, spanPort.hi)
	}
	n.Port = uint16(port)
	return nil
}

// confOption is what an option takes, and what it means here: set, or the reason why it means nothing.
type confOption struct {
	values string // of what kind, for the error
	valid  func(string) bool
	set    func(c *confReader, value string) error
	reason string
}

func isYesNo(s string) bool { return strings.EqualFold(s, "yes") || strings.EqualFold(s, "no") }
func isText(s string) bool  { return s != "" }
func isCount(s string) bool { _, err := strconv.ParseUint(s, 10, 31); return err == nil }

// isBytes accepts a number with an optional unit.
func isBytes(s string) bool {
	return isCount(strings.TrimRight(s, "kKmMgGbB"))
}

func isVerbosity(s string) bool { return slices.Contains(verbosities, strings.ToLower(s)) }

// confOptions are all options of the two systems.
var confOptions = map[string]confOption{
	"verbosity":        {values: "quiet, error, info or debug", valid: isVerbosity, set: setVerbosity},
	"proposer-timeout": {values: "whole seconds", valid: isCount, set: setRetry},
	"storage-backend":  {values: "memory or lmdb", valid: isText, set: setStorage},
	"proposer-preexec-window": {values: "a number", valid: isCount,
		reason: "phase 1 covers all instances at once, none are executed ahead"},
	"learner-catch-up": {values: "yes or no", valid: isYesNo,
		reason: "a learner always begins with the state of another learner, or at the first instance"},
	"tcp-nodelay":          {values: "yes or no", valid: isYesNo, reason: "there is no TCP"},
	"acceptor-trash-files": {values: "yes or no", valid: isYesNo, reason: "acceptors keep no files of values"},
	"lmdb-sync":            {values: "yes or no", valid: isYesNo, reason: "there is no LMDB"},
	"lmdb-env-path":        {values: "a path", valid: isText, reason: "there is no LMDB"},
	"lmdb-mapsize":         {values: "a number of bytes", valid: isBytes, reason: "there is no LMDB"},
}

// readOption takes an option and the words behind it.
func (c *confReader) readOption(key string, words []string) error {
	option, ok := confOptions[key]
	switch {
	case !ok:
		return fmt.Errorf("%q is neither a role nor an option of paxos.conf: take it out, or mend its spelling", key)
	case len(words) == 0:
		return fmt.Errorf("%s has no value: write %s behind it", key, option.values)
	case len(words) > 1:
		return fmt.Errorf("%s has %d values: write one", key, len(words))
	case !option.valid(words[0]):
		return fmt.Errorf("%s %q makes no sense: write %s", key, words[0], option.values)
	}
	if option.set == nil {
		c.warn("%s means nothing here: %s", key, option.reason)
		return nil
	}
	return option.set(c, words[0])
}

func setVerbosity(c *confReader, value string) error {
	c.f.Verbosity = strings.ToLower(value)
	c.f.lines["verbosity"] = c.line
	return nil
}

// setRetry: their proposers send again after that time, and so do ours.
func setRetry(c *confReader, value string) error {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil || seconds == 0 || seconds > 3600 {
		return fmt.Errorf("proposer-timeout %s is out of range: write 1 to 3600 seconds", value)
	}
	c.f.Timing.Retry = time.Duration(seconds) * time.Second
	c.f.lines["timing.retry"] = c.line
	return nil
}

// setStorage refuses a promise of durability that would not be kept.
func setStorage(c *confReader, value string) error {
	switch strings.ToLower(value) {
	case "memory":
		c.f.Storage = StorageMemory
		return nil
	case "lmdb":
		return errors.New("storage-backend lmdb is not in this version: write memory, where an acceptor that restarts does not vote again")
	}
	return fmt.Errorf("storage-backend %q is unknown: write memory", value)
}

// warnShared names the nodes that one address makes one process of.
func (c *confReader) warnShared() {
	for _, e := range c.f.Endpoints() {
		if len(e.Nodes) == 1 {
			continue
		}
		names := make([]string, len(e.Nodes))
		c.line = 0
		for i, n := range e.Nodes {
			name, _ := c.f.confNameOf(n)
			names[i] = fmt.Sprintf("%s %d", name.roles, name.number)
			c.line = max(c.line, n.lines[""])
		}
		c.warn("%s share one address, so one process runs them on one loop: convert the file to cluster.toml to give them queues or ports of their own",
			strings.Join(names, ", "))
	}
}

// confCluster derives the cluster id from the nodes, as described above.
func confCluster(nodes []Node) uint64 {
	lines := slices.Clone(nodes)
	slices.SortFunc(lines, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	h := sha256.New()
	fmt.Fprintln(h, "wirepaxos paxos.conf 1")
	for _, n := range lines {
		fmt.Fprintln(h, n.ID, n.Roles, n.MAC, n.IP, n.Port)
	}
	return max(1, binary.BigEndian.Uint64(h.Sum(nil)))
}
