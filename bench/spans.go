package bench

import "slices"

// span are the sequences from (inclusive) to (exclusive). A list of spans is ascending and without overlap.
type span struct{ from, to uint64 }

// spansOf are the sequences of [from, below) and those of list, which is ascending.
func spansOf(from, below uint64, list []uint64) []span {
	var spans []span
	if from < below {
		spans = append(spans, span{from, below})
	}
	for _, s := range list {
		spans = join(spans, span{s, s + 1})
	}
	return spans
}

// join appends a span that does not begin before the last one.
func join(spans []span, s span) []span {
	if n := len(spans); n > 0 && s.from <= spans[n-1].to {
		spans[n-1].to = max(spans[n-1].to, s.to)
		return spans
	}
	return append(spans, s)
}

// minus are the sequences of a that are not in b.
func minus(a, b []span) []span {
	var left []span
	for _, s := range a {
		for len(b) > 0 && b[0].to <= s.from {
			b = b[1:]
		}
		for _, cut := range b {
			if cut.from >= s.to {
				break
			}
			if s.from < cut.from {
				left = append(left, span{s.from, cut.from})
			}
			s.from = max(s.from, cut.to)
		}
		if s.from < s.to {
			left = append(left, s)
		}
	}
	return left
}

// union are the sequences of either.
func union(a, b []span) []span {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y span) int {
		switch {
		case x.from < y.from:
			return -1
		case x.from > y.from:
			return 1
		}
		return 0
	})
	var joined []span
	for _, s := range all {
		joined = join(joined, s)
	}
	return joined
}

// total is the number of sequences.
func total(spans []span) (n uint64) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

func sorted(list []uint64) []uint64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// without are the members of list that are not in others; both ascending.
func without(list, others []uint64) []uint64 {
	return slices.DeleteFunc(list, func(s uint64) bool {
		_, found := slices.BinarySearch(others, s)
		return found
	})
}
