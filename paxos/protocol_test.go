package paxos

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// protocolTable reads the table of PROTOCOL.md whose header line begins so: rows of cells.
func protocolTable(t *testing.T, header string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n| "+header)
	if !found {
		t.Fatalf("no table that begins with %q", header)
	}
	skip := 2 - min(1, strings.Count(header, "\n")) // the rest of the header line and the rule below it; or of the first row
	for i, line := range strings.Split(after, "\n") {
		if i < skip {
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

func TestProtocolPageKinds(t *testing.T) {
	rows := protocolTable(t, "kind | name | fixed")
	if len(rows) != int(numKinds)-1 {
		t.Fatalf("%d kinds, the code has %d", len(rows), numKinds-1)
	}
	for i, row := range rows {
		k := Kind(i + 1)
		f := formats[k]
		data := "none"
		if f.entry > 0 {
			data = fmt.Sprintf("entries of %d", f.entry)
		} else if f.data {
			data = "bytes"
		}
		if row[0] != strconv.Itoa(int(k)) || row[1] != k.String() || row[2] != strconv.Itoa(f.fixed) || row[3] != data {
			t.Errorf("the page says %v, the code %d %v %d %s", row[:4], k, k, f.fixed, data)
		}
		checkFields(t, k, row[4])
	}
}

// checkFields writes a message with each field set to a number of its own and looks for it where the page says.
func checkFields(t *testing.T, k Kind, fields string) {
	t.Helper()
	fields, _, _ = strings.Cut(fields, ";")
	if fields == "as accept" {
		k, fields = KindStored, "ballot b 0, instance i 8, low i 16, offset u32 24, total u32 28"
	}
	m := Message{
		Kind: k, Ballot: 101, Promised: 102, Instance: 103, Until: 104, Low: 105, High: 106, Client: 107, Sequence: 108, Hash: 109, Offset: 110, Total: 111,
	}
	want := map[string]uint64{
		"ballot": 101, "promised": 102, "instance": 103, "delivered": 103, "watermark": 103, "until": 104, "low": 105, "high": 106, "client": 107,
		"sequence": 108, "values": 108, "sent": 108, "hash": 109, "age": 109, "offset": 110, "page": 110, "total": 111, "pages": 111, "lease": 111,
		"opened": 106, "next": 108, "token": 109, "status": 110, "generation": 111,
	}
	if k == KindSubmitPart { // it has fewer fields to spare
		want["generation"] = 109
	}
	b := make([]byte, EncodedSize(&m))
	encode(b, &m)
	covered := 0
	for _, field := range strings.Split(fields, ",") {
		words := strings.Fields(field)
		if len(words) < 3 || words[0] == "data:" {
			continue
		}
		at, _ := strconv.Atoi(words[2])
		e := b[messageHeaderSize+at:]
		got, size := uint64(le.Uint32(e)), 4
		if words[1] != "u32" {
			got, size = le.Uint64(e), 8
		}
		covered += size
		if words[0] != "zero" && got != want[words[0]] {
			t.Errorf("%v: %s at %d is %d, the code writes %d there", k, words[0], at, want[words[0]], got)
		}
	}
	if covered != formats[k].fixed {
		t.Errorf("%v: the fields cover %d of %d bytes", k, covered, formats[k].fixed)
	}
}

func TestProtocolPageHeaders(t *testing.T) {
	for _, c := range []struct {
		rows [][]string
		at   map[string]int
		size int
	}{
		{protocolTable(t, "offset | size | field | |\n|---|---|---|---|\n| 0 | 2 | magic"), map[string]int{
			"version": offVersion, "frame kind": offFrameKind, "check": offCheck, "cluster": offCluster, "incarnation": offIncarnation, "group": offGroup,
			"sender": offSender, "destination": offDestination, "also": offAlso, "length": offLength, "epoch": offEpoch, "reserved": offReserved,
		}, FrameHeaderSize},
		{protocolTable(t, "offset | size | field | |\n|---|---|---|---|\n| 0 | 1 | kind"), map[string]int{
			"flags": offFlags, "size": offSize, "leader": offLeader, "reason": offReason, "zero": offZero,
		}, messageHeaderSize},
		{protocolTable(t, "offset | size | field | |\n|---|---|---|---|\n| 0 | 8 | client"), map[string]int{
			"sequence": offValueSequence, "behind": offValueBehind, "generation": offValueGeneration, "length": offValueLength,
			"node and kind": offValueNode,
		}, valueHeaderSize},
	} {
		end := 0
		for _, row := range c.rows {
			at, _ := strconv.Atoi(row[0])
			size, _ := strconv.Atoi(row[1])
			if want, ok := c.at[row[2]]; ok && want != at {
				t.Errorf("%s at %d, the code has it at %d", row[2], at, want)
			} else if ok {
				delete(c.at, row[2])
			}
			end = at + size
		}
		if len(c.at) != 0 || end != c.size {
			t.Errorf("fields left %v, header of %d bytes, want %d", c.at, end, c.size)
		}
	}
}

func TestProtocolPageNumbers(t *testing.T) {
	for i, row := range protocolTable(t, "reason | name") {
		if row[0] != strconv.Itoa(i) || row[1] != Reason(i).String() {
			t.Errorf("reason %v, the code has %d %v", row, i, Reason(i))
		}
	}
	for i, row := range protocolTable(t, "status | name") {
		if row[0] != strconv.Itoa(i) || row[1] != Status(i).String() {
			t.Errorf("status %v, the code has %d %v", row, i, Status(i))
		}
	}
	flags := protocolTable(t, "flag | bit")
	for _, row := range flags {
		if row[1] != strconv.Itoa(int(flagNames[row[0]])) {
			t.Errorf("flag %v, the code has %d", row, flagNames[row[0]])
		}
	}
	if len(flags) != len(flagNames) {
		t.Errorf("%d flags, the code has %d", len(flags), len(flagNames))
	}
	limits := map[string]uint64{
		"MaxNodes": MaxNodes, "MaxAcceptors": MaxAcceptors, "MaxRound": MaxRound, "MaxInstance": uint64(MaxInstance), "MaxSequence": MaxSequence,
		"SessionSpan": SessionSpan, "MaxSessions": MaxSessions, "SessionIdle": SessionIdle,
		"FrameHeaderSize": FrameHeaderSize, "AcceptOverhead": AcceptOverhead,
		"ValueOverhead": ValueOverhead, "MaxValueBytes": MaxValueBytes, "FragmentUnit": FragmentUnit, "MinMTU": MinMTU, "MaxMTU": MaxMTU,
	}
	for _, row := range protocolTable(t, "limit | value") {
		if row[1] != fmt.Sprint(limits[row[0]]) {
			t.Errorf("%v, the code has %d", row[:2], limits[row[0]])
		}
		delete(limits, row[0])
	}
	if len(limits) != 0 {
		t.Errorf("not on the page: %v", limits)
	}
}
