package cluster

// readGroups reads how many groups there are from group on, or which.
func (f *File) readGroups(t *table) {
	v, ok := t.get("groups")
	if !ok {
		return
	}
	var groups []uint16
	switch v := v.(type) {
	case int64:
		if v < 1 || v > MaxGroups || int64(f.Group)+v-1 > spanGroup.hi {
			t.fault("groups", "groups %d from group %d on: write 1 to %d, none above %d", v, f.Group, MaxGroups, spanGroup.hi)
			return
		}
		for i := range v {
			groups = append(groups, f.Group+uint16(i))
		}
	case []any:
		if groups = numbers(t, "groups", "group", spanGroup, &f.Group); len(groups) == 0 {
			return
		}
	default:
		t.fault("groups", "groups is %s: write how many there are, or a list of their ids", kind(v))
		return
	}
	if len(groups) > 1 {
		f.Groups = groups
	}
}

// dropSingles drops lists of one number from a file with one group: they say no more than the number.
func (f *File) dropSingles() {
	if len(f.Groups) > 0 {
		return
	}
	if len(f.EtherTypes) == 1 {
		f.EtherTypes = nil
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if len(n.Queues) == 1 {
			n.Queues = nil
		}
		if len(n.Ports) == 1 {
			n.Ports = nil
		}
		if len(n.Cores) == 1 {
			n.Cores = nil
		}
	}
}

// numbers reads a list with a number for each group. The first is also that of one, which must not be there beside it.
func numbers[N ~int | ~uint16](t *table, key, one string, s span, first *N) (list []N) {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	values, ok := v.([]any)
	if !ok || len(values) == 0 {
		t.fault(key, "%s is %s: write a list with a number for each group", key, kindOfList(v))
		return nil
	}
	if _, both := t.values[one]; both {
		t.fault(key, "%s and %s are both there: write one of the two", one, key)
		return nil
	}
	for _, v := range values {
		n, ok := v.(int64)
		if !ok {
			t.fault(key, "%s holds %s: write whole numbers", key, kind(v))
			return nil
		}
		if err := s.check(one, n); err != nil {
			t.fault(key, "%s: %v", key, err)
			return nil
		}
		list = append(list, N(n))
	}
	*first = list[0]
	return list
}

// kindOfList names what stands where a list should.
func kindOfList(v any) string {
	if list, ok := v.([]any); ok && len(list) == 0 {
		return "an empty list"
	}
	return kind(v)
}
