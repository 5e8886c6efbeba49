package bench

import (
	"fmt"
	"strconv"
)

// Field is a field of Config as people read it.
type Field struct {
	Name   string               // the JSON name, as in Scenario.X
	Title  string               // of an axis or a column: "clients", "bytes of a value"
	Value  func(*Config) any    // a string, an int or a float64
	Phrase func(*Config) string // "4 clients"; "" where the field says nothing
}

// Fields are those of Config in the order in which a description names them.
var Fields = []Field{
	wordField("system", "system", "%s", func(c *Config) string { return c.System }),
	wordField("transport", "transport", "%s", func(c *Config) string { return c.Transport }),
	wordField("mode", "mode", "%s mode", func(c *Config) string { return c.Mode }),
	wordField("link", "link layer", "over %s", func(c *Config) string { return c.Link }),
	wordField("layout", "layout", "%s", func(c *Config) string { return c.Layout }),
	wordField("batch", "batch", "batch %s", func(c *Config) string { return c.Batch }),
	wordField("multicast", "multicast", "multicast %s", func(c *Config) string { return c.Multicast }),
	wordField("idle", "idle strategy", "idle %s", func(c *Config) string { return c.Idle }),
	wordField("storage", "storage", "storage: %s", func(c *Config) string { return c.Storage }),
	countField("acceptors", "acceptors", "acceptor", func(c *Config) int { return c.Acceptors }),
	countField("proposers", "proposers", "proposer", func(c *Config) int { return c.Proposers }),
	countField("learners", "learners", "learner", func(c *Config) int { return c.Learners }),
	countField("groups", "groups", "group", func(c *Config) int { return c.Groups }),
	{
		Name: "together", Title: "groups in one process",
		Value: func(c *Config) any { return c.Together },
		Phrase: func(c *Config) string {
			if c.Together == "" {
				return ""
			}
			return "all groups in one process"
		},
	},
	countField("clients", "clients", "client", func(c *Config) int { return c.Clients }),
	{
		Name: "outstanding", Title: "outstanding values",
		Value: func(c *Config) any { return c.Outstanding },
		Phrase: func(c *Config) string {
			if c.Outstanding == 0 {
				return ""
			}
			return strconv.Itoa(c.Outstanding) + " outstanding"
		},
	},
	{
		Name: "value_size", Title: "bytes of a value",
		Value: func(c *Config) any { return c.ValueSize },
		Phrase: func(c *Config) string {
			if c.ValueSize == 0 {
				return ""
			}
			return strconv.Itoa(c.ValueSize) + "-byte values"
		},
	},
	{
		Name: "rate_per_s", Title: "values/s that were due",
		Value: func(c *Config) any { return c.RatePerS },
		Phrase: func(c *Config) string {
			if c.RatePerS == 0 {
				return ""
			}
			return "open loop, " + grouped(c.RatePerS) + " values/s"
		},
	},
	wordField("arrivals", "arrivals", "%s arrivals", func(c *Config) string { return c.Arrivals }),
	{
		Name: "wire_hops", Title: "hops of a value",
		Value: func(c *Config) any { return c.WireHops },
		Phrase: func(c *Config) string {
			if c.WireHops == 0 {
				return ""
			}
			return strconv.FormatFloat(c.WireHops, 'g', -1, 64) + " hops"
		},
	},
	wordField("driver", "driver", "driver %s", func(c *Config) string { return c.Driver }),
}

func wordField(name, title, format string, value func(*Config) string) Field {
	return Field{
		Name: name, Title: title,
		Value: func(c *Config) any { return value(c) },
		Phrase: func(c *Config) string {
			if value(c) == "" {
				return ""
			}
			return fmt.Sprintf(format, value(c))
		},
	}
}

func countField(name, title, what string, value func(*Config) int) Field {
	return Field{
		Name: name, Title: title,
		Value: func(c *Config) any { return value(c) },
		Phrase: func(c *Config) string {
			if value(c) == 0 {
				return ""
			}
			return count(value(c), what)
		},
	}
}

// FieldOf finds a field by its JSON name; nil where there is none.
func FieldOf(name string) *Field {
	for i := range Fields {
		if Fields[i].Name == name {
			return &Fields[i]
		}
	}
	return nil
}

// Number is the field as a number; false where it is a word.
func (f *Field) Number(c *Config) (float64, bool) {
	switch v := f.Value(c).(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Sound is the point with those of its runs alone in which the check found no problem: the others prove nothing.
func (p *Point) Sound() *Point {
	q := *p
	q.Runs = nil
	for i := range p.Runs {
		if len(p.Runs[i].Problems) == 0 {
			q.Runs = append(q.Runs, p.Runs[i])
		}
	}
	return &q
}
