package cluster

import (
	"errors"
	"fmt"
	"strings"

	toml "github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a TOML file with the line of every key. A path is the keys joined by dots, with the index behind a key that
// holds an array: "timing.lease", "node[2].mac", and "node[2]" for the table itself.
type document struct {
	values map[string]any
	lines  map[string]int
}

// readDocument parses data. The error is a fault of the TOML itself (syntax, a key twice, a number too large), with its line.
func readDocument(name string, data []byte) (*document, error) {
	doc := &document{values: make(map[string]any), lines: make(map[string]int)}
	if err := toml.Unmarshal(data, &doc.values); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ := at.Position()
			return nil, &Error{File: name, Line: line, Text: "not TOML: " + oneLine(at.Error()) + ": mend the line"}
		}
		return nil, &Error{File: name, Line: 1, Text: "not TOML: " + oneLine(err.Error())}
	}
	w := walk{doc: doc, lengths: make(map[string]int)}
	w.parser.Reset(data)
	for w.parser.NextExpression() {
		w.expression(w.parser.Expression())
	}
	if err := w.parser.Error(); err != nil {
		return nil, &Error{File: name, Line: 1, Text: "not TOML: " + oneLine(err.Error())}
	}
	return doc, nil
}

// oneLine takes the package's name and line breaks out of its message.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(s, "toml: ")), " ")
}

// walk goes through the expressions of a document in their order and notes where each key stands.
type walk struct {
	doc     *document
	parser  unstable.Parser
	table   string         // path of the table that key-values belong to
	lengths map[string]int // array of tables -> elements seen
}

func (w *walk) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		w.table = w.path("", n, false)
	case unstable.ArrayTable:
		w.table = w.path("", n, true)
	case unstable.KeyValue:
		w.keyValue(w.table, n)
	}
}

// path follows the dotted key of n down from table, notes the line of every part that is new, and returns the path of the last one.
// With element, the last part is an array of tables that gets one more.
func (w *walk) path(table string, n *unstable.Node, element bool) string {
	path := table
	keys := n.Key()
	for keys.Next() {
		key := keys.Node()
		path = join(path, string(key.Data))
		line := w.parser.Shape(key.Raw).Start.Line
		w.note(path, line)
		if element && keys.IsLast() {
			w.lengths[path]++
		}
		if length := w.lengths[path]; length > 0 {
			path = fmt.Sprintf("%s[%d]", path, length-1)
			w.note(path, line)
		}
	}
	return path
}

func join(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// note keeps the first line of a path.
func (w *walk) note(path string, line int) {
	if _, known := w.doc.lines[path]; !known {
		w.doc.lines[path] = line
	}
}

func (w *walk) keyValue(table string, n *unstable.Node) {
	path := w.path(table, n, false)
	w.value(path, w.doc.lines[path], n.Value())
}

// value notes what lies inside inline tables and arrays. Elements without a position of their own stand where their array begins.
func (w *walk) value(path string, line int, n *unstable.Node) {
	switch n.Kind {
	case unstable.InlineTable:
		for children := n.Children(); children.Next(); {
			w.keyValue(path, children.Node())
		}
	case unstable.Array:
		i := 0
		for children := n.Children(); children.Next(); i++ {
			child, at := children.Node(), line
			if child.Raw.Length > 0 {
				at = w.parser.Shape(child.Raw).Start.Line
			}
			element := fmt.Sprintf("%s[%d]", path, i)
			w.note(element, at)
			w.value(element, at, child)
		}
	}
}

// table is one table of a document being read: what was asked for is known, the rest is an error.
type table struct {
	read   *reading
	path   string
	values map[string]any
	known  map[string]bool
}

// reading collects the faults of a document, to report the first by line.
type reading struct {
	doc    *document
	name   string
	faults []*Error
}

func (r *reading) fault(path, format string, args ...any) {
	r.faults = append(r.faults, &Error{File: r.name, Line: r.line(path), Text: fmt.Sprintf(format, args...)})
}

// line is where path stands, or else the table around it.
func (r *reading) line(path string) int {
	for {
		if line, ok := r.doc.lines[path]; ok {
			return line
		}
		cut := strings.LastIndexByte(path, '.')
		if cut < 0 {
			return 1
		}
		path = path[:cut]
	}
}

// first is the fault that comes first in the file, or nil.
func (r *reading) first() error {
	var first *Error
	for _, e := range r.faults {
		if first == nil || e.Line < first.Line {
			first = e
		}
	}
	if first == nil {
		return nil
	}
	return first
}

func (r *reading) table(path string, values map[string]any) *table {
	return &table{read: r, path: path, values: values, known: make(map[string]bool)}
}

// get returns the value of key, if the file has it.
func (t *table) get(key string) (any, bool) {
	t.known[key] = true
	v, ok := t.values[key]
	return v, ok
}

// fault reports err about key.
func (t *table) fault(key, format string, args ...any) {
	t.read.fault(join(t.path, key), "%s%s", t.who(), fmt.Sprintf(format, args...))
}

// who is the node that the table describes, if it says.
func (t *table) who() string {
	if !strings.HasPrefix(t.path, "node[") {
		return ""
	}
	if id, ok := t.values["id"].(int64); ok {
		return fmt.Sprintf("node %d: ", id)
	}
	return "node without id: "
}

// rest reports the keys that nobody asked for.
func (t *table) rest() {
	for key := range t.values {
		if !t.known[key] {
			t.fault(key, "key %q is unknown: take it out, or mend its spelling", key)
		}
	}
}

// word reads a string.
func word[S ~string](t *table, key string, dst *S) bool {
	v, ok := t.get(key)
	if !ok {
		return false
	}
	s, ok := v.(string)
	if !ok {
		t.fault(key, `%s is %s: write a word in quotes`, key, kind(v))
		return false
	}
	*dst = S(s)
	return true
}

// number reads an integer within s.
func number[N ~int | ~int64 | ~uint16](t *table, key string, s span, dst *N) bool {
	v, ok := t.get(key)
	if !ok {
		return false
	}
	n, ok := v.(int64)
	if !ok {
		t.fault(key, "%s is %s: write a whole number", key, kind(v))
		return false
	}
	if err := s.check(key, n); err != nil {
		t.fault(key, "%v", err)
		return false
	}
	*dst = N(n)
	return true
}

// truth reads true or false.
func truth(t *table, key string, dst *bool) {
	v, ok := t.get(key)
	if !ok {
		return
	}
	if *dst, ok = v.(bool); !ok {
		t.fault(key, "%s is %s: write true or false, without quotes", key, kind(v))
	}
}

// kind names the type of a TOML value.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}
