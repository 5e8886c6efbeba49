package paxos

import (
	"fmt"
	"strconv"
	"strings"
)

// The notation of messages in scripts: "4#2 accept ballot=1.4 instance=0 batch=9:1:x". testdata/README.md explains it.

func nodeOf(text string) NodeID {
	n, _ := strconv.Atoi(text)
	return NodeID(n)
}

var flagNames = map[string]uint8{"last": FlagLast, "values": FlagValues, "update": FlagUpdate, "client": FlagClient, "gap": FlagGap}

func parseMessage(line string) (m Message, err error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return m, fmt.Errorf("want: NODE KIND [field=…]")
	}
	from, incarnation, _ := strings.Cut(words[0], "#")
	m.From, m.FromIncarnation = nodeOf(from), 1
	if incarnation != "" {
		m.FromIncarnation = Incarnation(nodeOf(incarnation))
	}
	for k := Kind(1); k < numKinds; k++ {
		if kindNames[k] == words[1] {
			m.Kind = k
		}
	}
	if m.Kind == 0 {
		return m, fmt.Errorf("no kind %s", words[1])
	}
	piece := ""
	for _, w := range words[2:] {
		if text, ok := strings.CutPrefix(w, "piece="); ok {
			piece = text
			continue
		}
		if flag, ok := flagNames[w]; ok {
			m.Flags |= flag
			continue
		}
		key, value, _ := strings.Cut(w, "=")
		if err := parseField(&m, key, value); err != nil {
			return m, fmt.Errorf("%s: %w", w, err)
		}
	}
	if m.Kind == KindAccept || m.Kind == KindStored || m.Kind == KindSubmitPart {
		m.Total = uint32(len(m.Data))
	}
	if piece != "" {
		return m, cutPiece(&m, piece)
	}
	return m, nil
}

// cutPiece leaves of a message's batch what "64+128" says: 128 bytes from byte 64 on; "64+128/999" lies about the length of the whole.
func cutPiece(m *Message, text string) error {
	text, total, lies := strings.Cut(text, "/")
	var at, n int
	if _, err := fmt.Sscanf(text, "%d+%d", &at, &n); err != nil || at+n > len(m.Data) {
		return fmt.Errorf("piece=%s of %d bytes", text, len(m.Data))
	}
	if m.Kind == KindSubmitPart {
		var v Value
		NextValue(m.Data, &v)
		m.Client, m.Sequence, m.Hash = v.Client, v.Sequence, uint64(v.Generation)
	}
	m.Offset, m.Data = uint32(at), m.Data[at:at+n]
	if lies {
		m.Total = uint32(nodeOf(total))
	}
	return nil
}

func parseField(m *Message, key, value string) (err error) {
	number := func(n *uint64) { *n, err = strconv.ParseUint(value, 10, 64) }
	var n uint64
	switch key {
	case "ballot":
		m.Ballot, err = parseBallot(value)
	case "promised":
		m.Promised, err = parseBallot(value)
	case "instance", "from", "delivered":
		number(&n)
		m.Instance = Instance(n)
	case "until":
		number(&n)
		m.Until = Instance(n)
	case "low":
		number(&n)
		m.Low = Instance(n)
	case "high":
		number(&n)
		m.High = Instance(n)
	case "lease-ms", "pages":
		number(&n)
		m.Total = uint32(n)
	case "sent":
		number(&n)
		m.Sequence = n * 1e6
	case "age":
		if number(&n); value == "never" {
			n, err = uint64(never), nil
		} else {
			n *= 1e6
		}
		m.Hash = n
	case "page":
		number(&n)
		m.Offset = uint32(n)
	case "count":
		number(&m.Sequence)
	case "opened":
		number(&n)
		m.High = Instance(n)
	case "hash":
		number(&m.Hash)
	case "leader":
		m.Leader = nodeOf(value)
	case "reason":
		for r, name := range reasonNames {
			if name == strings.ReplaceAll(value, "-", " ") {
				m.Reason = Reason(r)
			}
		}
	case "batch":
		m.Data, err = parseBatch(value)
	case "votes":
		m.Data, err = parseRanges(value)
	case "holds":
		m.Data, err = parseHolds(value)
	case "sessions":
		m.Data, err = parseSessions(value)
	default:
		err = fmt.Errorf("no such field")
	}
	return err
}

func parseBallot(text string) (Ballot, error) {
	var round uint64
	var node NodeID
	_, err := fmt.Sscanf(text, "%d.%d", &round, &node)
	return MakeBallot(round, node), err
}

// parseBatch reads "9:1:x,9.3:2/2:y": client, after a dot the generation of its session (1 if not said), sequence, after a slash the oldest
// unanswered one (1 if not said), bytes, "x*900" for 900 of them. "9:open:7" opens with token 7, "9.3:open:7" likewise where generation 3 is expected, "9.3:close:"
// closes; "-" is a no-op.
func parseBatch(text string) (b []byte, err error) {
	if text == "-" {
		return nil, nil
	}
	for _, word := range strings.Split(text, ",") {
		parts := strings.SplitN(word, ":", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("want CLIENT:SEQUENCE:BYTES")
		}
		v := parseValue(parts)
		b = append(b, make([]byte, ValueOverhead+len(v.Data))...)
		PutValue(b, len(b)-ValueOverhead-len(v.Data), &v)
	}
	return b, nil
}

func parseValue(parts []string) Value {
	v := Value{Node: 50}
	client, generation, found := strings.Cut(parts[0], ".")
	v.Client = ClientID(nodeOf(client))
	if found {
		v.Generation = uint32(nodeOf(generation))
	}
	switch parts[1] {
	case "open":
		v.Kind, v.Data = ValueOpen, le.AppendUint64(nil, uint64(nodeOf(parts[2])))
		return v
	case "close":
		v.Kind = ValueClose
		return v
	}
	if !found {
		v.Generation = 1
	}
	v.Oldest, v.Data = 1, []byte(parts[2])
	if of, times, ok := strings.Cut(parts[2], "*"); ok {
		v.Data = []byte(strings.Repeat(of, int(nodeOf(times))))
	}
	sequence, oldest, found := strings.Cut(parts[1], "/")
	v.Sequence, _ = strconv.ParseUint(sequence, 10, 64)
	if found {
		v.Oldest, _ = strconv.ParseUint(oldest, 10, 64)
	}
	return v
}

// parseRanges reads "0+3,7": instances 0, 1, 2 and 7.
func parseRanges(text string) (b []byte, err error) {
	for _, word := range strings.Split(text, ",") {
		r := acceptedRange{Count: 1}
		first, count, found := strings.Cut(word, "+")
		r.First = Instance(nodeOf(first))
		if found {
			r.Count = uint32(nodeOf(count))
		}
		b = append(b, make([]byte, acceptedEntrySize)...)
		putAcceptedRange(b[len(b)-acceptedEntrySize:], r)
	}
	return b, nil
}

// parseHolds reads "3@1.4=9:1:x;…": at instance 3, by ballot 1.4, that batch.
func parseHolds(text string) (b []byte, err error) {
	for _, word := range strings.Split(text, ";") {
		where, batch, _ := strings.Cut(word, "=")
		instance, ballot, _ := strings.Cut(where, "@")
		value, err := parseBatch(batch)
		if err != nil {
			return nil, err
		}
		e := promised{Instance: Instance(nodeOf(instance)), Digest: digest(value), Length: uint32(len(value))}
		if e.Ballot, err = parseBallot(ballot); err != nil {
			return nil, err
		}
		b = append(b, make([]byte, promiseEntrySize)...)
		putPromised(b[len(b)-promiseEntrySize:], e)
	}
	return b, nil
}

// parseSessions reads "9:3,8.2:1": client 9 was delivered everything below sequence 3, in generation 1; the tokens are 7.
func parseSessions(text string) ([]byte, error) {
	t := newSessions(16, SessionIdle)
	for _, word := range strings.Split(text, ",") {
		name, base, _ := strings.Cut(word, ":")
		client, generation, found := strings.Cut(name, ".")
		s := t.insert(ClientID(nodeOf(client)), 0)
		s.base, s.token, s.generation = uint64(nodeOf(base)), 7, 1
		if found {
			s.generation = uint32(nodeOf(generation))
		}
	}
	b := make([]byte, t.n*sessionEntrySize)
	return b[:t.save(b)], nil
}

// formatMessage is the other way round, with what matters of each kind.
func formatMessage(m *Message) string {
	var b strings.Builder
	b.WriteString(m.Kind.String())
	field := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	if m.Ballot != 0 {
		field("ballot=%v", m.Ballot)
	}
	switch m.Kind {
	case KindPrepare:
		field("from=%d", m.Instance)
	case KindPromise:
		field("from=%d until=%d low=%d", m.Instance, m.Until, m.Low)
		for list := m.Data; len(list) > 0; list = list[promiseEntrySize:] {
			e := promisedAt(list)
			field("holds=%d@%v (%d bytes)", e.Instance, e.Ballot, e.Length)
		}
	case KindPreempted:
		field("promised=%v instance=%d", m.Promised, m.Instance)
	case KindAccept, KindStored:
		field("instance=%d low=%d %s", m.Instance, m.Low, formatValue(m))
	case KindAccepted:
		field("votes=%s", formatRanges(m.Data))
	case KindHeartbeat:
		field("low=%d high=%d", m.Low, m.High)
		if m.Sequence != 0 {
			field("sent=%d", m.Sequence/1e6)
		}
	case KindHeard, KindProbe, KindProbed:
		field("%s", formatAnswer(m))
	case KindBusy:
		field("reason=%s leader=%d first=%d:%d", m.Reason, m.Leader, m.Client, m.Sequence)
	case KindRefused:
		field("instance=%d reason=%s", m.Instance, m.Reason)
	case KindHi:
		field("delivered=%d lease-ms=%d", m.Instance, m.Total)
	case KindOK:
		field("low=%d high=%d", m.Low, m.High)
		if m.Leader != 0 {
			field("leader=%d", m.Leader)
		}
	case KindRepeat:
		field("from=%d until=%d", m.Instance, m.Until)
	case KindTrimmed:
		field("low=%d", m.Low)
	case KindReply:
		for r, rest, ok := NextReplyRange(m.Data); ok; r, rest, ok = NextReplyRange(rest) {
			field("%s:%d+%d=%v", formatClient(r.Client, r.Generation), r.First, r.Count, r.Status)
		}
		if m.Leader != 0 {
			field("leader=%d", m.Leader)
		}
	case KindCheckpointAsk:
		field("instance=%d page=%d", m.Instance, m.Offset)
	case KindCheckpointPage:
		field("instance=%d page=%d pages=%d count=%d opened=%d sessions=%d", m.Instance, m.Offset, m.Total, m.Sequence, m.High,
			len(m.Data)/sessionEntrySize)
	case KindSession:
		field("client=%d token=%d generation=%d next=%d: %v", m.Client, m.Hash, m.Total, m.Sequence, Status(m.Offset))
	}
	for _, name := range []string{"last", "values", "update", "client", "gap"} {
		if m.Flags&flagNames[name] != 0 {
			field("%s", name)
		}
	}
	return b.String()
}

// formatAnswer is what heartbeats and questions about leaders, and their answers, carry.
func formatAnswer(m *Message) string {
	text := fmt.Sprintf("sent=%d", m.Sequence/1e6)
	if m.Kind != KindProbed {
		return text
	}
	if m.Hash == uint64(never) {
		return fmt.Sprintf("%s age=never promised=%v", text, m.Promised)
	}
	return fmt.Sprintf("%s age=%d promised=%v", text, m.Hash/1e6, m.Promised)
}

func formatBatch(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	var words []string
	var v Value
	for len(b) > 0 {
		var ok bool
		if b, ok = NextValue(b, &v); !ok {
			return "?"
		}
		switch v.Kind {
		case ValueOpen:
			words = append(words, fmt.Sprintf("%s:open:%d", formatClient(v.Client, v.Generation), le.Uint64(v.Data)))
		case ValueClose:
			words = append(words, fmt.Sprintf("%s:close:", formatClient(v.Client, v.Generation)))
		default:
			words = append(words, fmt.Sprintf("%s:%d:%s", formatClient(v.Client, v.Generation), v.Sequence, formatBytes(v.Data)))
		}
	}
	return strings.Join(words, ",")
}

// formatValue is the batch of an Accept or a Stored, or which piece of it.
func formatValue(m *Message) string {
	if whole(m) {
		return "batch=" + formatBatch(m.Data)
	}
	return fmt.Sprintf("piece=%d+%d/%d", m.Offset, len(m.Data), m.Total)
}

// formatBytes writes a long value of one byte as "x*900".
func formatBytes(b []byte) string {
	if n := len(b); n > 40 && strings.Count(string(b), string(b[:1])) == n {
		return fmt.Sprintf("%c*%d", b[0], n)
	}
	return string(b)
}

// formatClient leaves out the generation that most scripts are about.
func formatClient(c ClientID, generation uint32) string {
	if generation == 1 {
		return fmt.Sprint(c)
	}
	return fmt.Sprintf("%d.%d", c, generation)
}

func formatRanges(b []byte) string {
	var words []string
	for ; len(b) > 0; b = b[acceptedEntrySize:] {
		r, _ := acceptedRangeAt(b)
		words = append(words, fmt.Sprintf("%d+%d", r.First, r.Count))
	}
	return strings.Join(words, ",")
}
