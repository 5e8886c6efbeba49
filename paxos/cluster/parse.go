package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Load reads the file at path: a cluster.toml, or a paxos.conf of Kernel Paxos or libpaxos (Parse tells them apart). The warnings name
// every line that means nothing here. The error is one line with file and line, ready for the user.
func Load(path string) (*File, []Warning, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &Error{File: path, Text: `no such file: write one from "wirepaxos cluster new", or give the path of the cluster's file`}
	}
	if err != nil {
		return nil, nil, &Error{File: path, Text: fmt.Sprintf("cannot be opened: %v: let this user read it", errors.Unwrap(err))}
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err != nil {
		return nil, nil, &Error{File: path, Text: fmt.Sprintf("cannot be read: %v: give the path of a cluster file", errors.Unwrap(err))}
	}
	return Parse(path, data)
}

// Parse is Load of data already read; name is what errors call it. A name that ends in .toml is TOML. Any other is TOML if its first
// line that says something has a "=" behind its first word or begins with "[", else a paxos.conf.
func Parse(name string, data []byte) (*File, []Warning, error) {
	if len(data) > MaxFileBytes {
		return nil, nil, &Error{File: name, Text: fmt.Sprintf("longer than %d bytes: give the path of a cluster file", MaxFileBytes)}
	}
	if isTOML(name, data) {
		f, err := parseTOML(name, data)
		return f, nil, err
	}
	return parseConf(name, data)
}

func isTOML(name string, data []byte) bool {
	if strings.EqualFold(filepath.Ext(name), ".toml") {
		return true
	}
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		first := bytes.TrimLeft(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.\"'")
		return line[0] == '[' || bytes.HasPrefix(bytes.TrimSpace(first), []byte("="))
	}
	return false
}

// parseTOML reads a cluster.toml: first every key by itself, then the file as a whole.
func parseTOML(name string, data []byte) (*File, error) {
	doc, err := readDocument(name, data)
	if err != nil {
		return nil, err
	}
	f := defaults()
	f.Name, f.lines = name, doc.lines
	r := &reading{doc: doc, name: name}
	f.readTop(r.table("", doc.values))
	if err := r.first(); err != nil {
		return nil, err
	}
	f.dropSingles()
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f, nil
}

// readTop reads the keys before the first table, and the tables.
func (f *File) readTop(t *table) {
	defer t.rest()
	f.readCluster(t)
	number(t, "group", spanGroup, &f.Group)
	f.readGroups(t)
	word(t, "transport", &f.Transport)
	word(t, "link", &f.Link)
	word(t, "mode", &f.Mode)
	number(t, "ethertype", spanEtherType, &f.EtherType)
	f.EtherTypes = numbers(t, "ethertypes", "ethertype", spanEtherType, &f.EtherType)
	number(t, "vlan", spanVLAN, &f.VLAN)
	number(t, "udp_port", spanPort, &f.UDPPort)
	number(t, "mtu", spanMTU, &f.MTU)
	f.readQueue(t)
	truth(t, "multicast", &f.Multicast)
	word(t, "batch", &f.Batch)
	word(t, "storage", &f.Storage)
	word(t, "idle", &f.Idle)
	number(t, "window", spanWindow, &f.Window)
	number(t, "value_bytes", spanValueBytes, &f.ValueBytes)
	number(t, "max_value", spanMaxValue, &f.MaxValue)
	word(t, "slow_learner", &f.SlowLearner)
	number(t, "sessions", spanSessions, &f.Sessions)
	number(t, "session_idle", spanSessionIdle, &f.SessionIdle)
	if word(t, "verbosity", &f.Verbosity) && f.Verbosity == "" {
		t.fault("verbosity", "%v", checkWord("verbosity", "", verbosities))
	}
	if v, ok := t.get("timing"); ok {
		if values, ok := v.(map[string]any); ok {
			f.readTiming(t.read.table("timing", values))
		} else {
			t.fault("timing", "timing is %s: write a table [timing]", kind(v))
		}
	}
	f.readNodes(t)
}

// readCluster reads the id: all 16 digits, so that a cut one is seen.
func (f *File) readCluster(t *table) {
	var s string
	if !word(t, "cluster", &s) {
		return
	}
	id, err := ParseCluster(s)
	if err != nil {
		t.fault("cluster", "%v", err)
		return
	}
	f.Cluster = id
}

// ParseCluster reads a cluster id as the file and the commands write it: "0x" and 16 hexadecimal digits, not all zero.
func ParseCluster(s string) (uint64, error) {
	digits, found := strings.CutPrefix(s, "0x")
	id, err := strconv.ParseUint(digits, 16, 64)
	if !found || err != nil || len(digits) != 16 || id == 0 {
		return 0, fmt.Errorf(`cluster %q is not an id: write "0x" and the 16 digits that "wirepaxos cluster new" draws`, s)
	}
	return id, nil
}

func (f *File) readTiming(t *table) {
	defer t.rest()
	for _, field := range f.Timing.fields() {
		var s string
		if !word(t, field.key, &s) {
			continue
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			t.fault(field.key, `%s %q is not a duration: write it like "10ms" or "1.5s"`, field.key, s)
			continue
		}
		*field.d = d
	}
}

func (f *File) readNodes(t *table) {
	v, ok := t.get("node")
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok {
		t.fault("node", "node is %s: write [[node]] with two brackets", kind(v))
		return
	}
	for i, element := range list {
		path := fmt.Sprintf("node[%d]", i)
		values, ok := element.(map[string]any)
		if !ok {
			t.read.fault(path, "node is %s: write a table [[node]]", kind(element))
			continue
		}
		n := readNode(t.read.table(path, values))
		n.lines = map[string]int{"": t.read.line(path)}
		for key := range values {
			n.lines[key] = t.read.line(join(path, key))
		}
		f.Nodes = append(f.Nodes, n)
	}
}

// readNode reads one [[node]].
func readNode(t *table) Node {
	defer t.rest()
	n := NewNode(0, 0)
	if _, ok := t.get("id"); !ok {
		t.fault("id", "id is missing: write id = and a number from %d to %d", spanID.lo, spanID.hi)
	}
	number(t, "id", spanID, &n.ID)
	n.Roles = readRoles(t)
	n.Interface, _ = checked(t, "interface", func(s string) (string, error) { return s, checkInterface(s) })
	number(t, "queue", spanQueue, &n.Queue)
	n.Queues = numbers(t, "queues", "queue", spanQueue, &n.Queue)
	n.MAC, _ = checked(t, "mac", ParseMAC)
	n.IP, _ = checked(t, "ip", parseIP)
	number(t, "port", spanPort, &n.Port)
	n.Ports = numbers(t, "ports", "port", spanPort, &n.Port)
	number(t, "core", spanCore, &n.Core)
	n.Cores = numbers(t, "cores", "core", spanCores, &n.Core)
	n.Host, _ = checked(t, "host", func(s string) (string, error) { return s, checkName("host", s) })
	n.Idle, _ = checked(t, "idle", func(s string) (Idle, error) { return Idle(s), checkWord("idle", Idle(s), idles) })
	n.Endpoint = readEndpoint(t)
	return n
}

// checked reads a string that must make sense by itself.
func checked[T any](t *table, key string, read func(string) (T, error)) (T, bool) {
	var s string
	var none T
	if !word(t, key, &s) {
		return none, false
	}
	v, err := read(s)
	if err != nil {
		t.fault(key, "%v", err)
		return none, false
	}
	return v, true
}

// readEndpoint reads a name, or a number as a name.
func readEndpoint(t *table) string {
	if v, ok := t.values["endpoint"].(int64); ok {
		t.get("endpoint")
		if v < 0 {
			t.fault("endpoint", "endpoint %d is out of range: write a name, or a number from 0 up", v)
		}
		return strconv.FormatInt(v, 10)
	}
	name, _ := checked(t, "endpoint", func(s string) (string, error) { return s, checkName("endpoint", s) })
	return name
}

// readRoles reads the list of role names.
func readRoles(t *table) Roles {
	v, ok := t.get("roles")
	if !ok {
		return 0 // checkNode says what is missing
	}
	list, ok := v.([]any)
	if !ok {
		t.fault("roles", `roles is %s: write a list such as ["acceptor"]`, kind(v))
		return 0
	}
	var roles Roles
	for _, element := range list {
		name, ok := element.(string)
		if !ok {
			t.fault("roles", `roles holds %s: write a list such as ["acceptor"]`, kind(element))
			return 0
		}
		role, err := ParseRole(name)
		if err == nil && roles&role != 0 {
			err = fmt.Errorf("role %q is there twice: take one out", name)
		}
		if err != nil {
			t.fault("roles", "%v", err)
			return 0
		}
		roles |= role
	}
	return roles
}
