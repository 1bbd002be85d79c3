package embedded

// group is a message group. Of a FIFO queue: msgs are all its messages in order
// of sending, and it is available when the first one is ready. Of a standard
// queue, a tenant: msgs are those that are ready, and it is available when there
// is one.
type group struct {
	name       string
	msgs       list
	next, prev uint32 // in the list of available groups; next: in the list of free ones
	available  bool
	tenant     tenant
}

// groups are the groups that have messages, by name and by index. Index 0 is
// none. The available ones take turns: one that was served goes to the end.
type groups struct {
	all        []group
	byName     map[string]uint32
	free       uint32
	head, tail uint32 // available groups, the one that has waited longest first
}

func newGroups() groups {
	return groups{all: make([]group, 1), byName: map[string]uint32{}}
}

// get is the index of the group, made when missing.
func (g *groups) get(name string) uint32 {
	if i, ok := g.byName[name]; ok {
		return i
	}
	i := g.free
	if i == 0 {
		i = uint32(len(g.all))
		g.all = append(g.all, group{})
	} else {
		g.free = g.all[i].next
	}
	g.all[i] = group{name: name}
	g.byName[name] = i
	return i
}

// drop forgets a group without messages.
func (g *groups) drop(i uint32) {
	delete(g.byName, g.all[i].name)
	if len(g.byName) == 0 {
		*g = newGroups()
		return
	}
	g.all[i] = group{next: g.free}
	g.free = i
}

func (g *groups) setAvailable(i uint32, on bool) {
	x := &g.all[i]
	if x.available == on {
		return
	}
	x.available = on
	if on {
		x.prev, x.next = g.tail, 0
		if g.tail == 0 {
			g.head = i
		} else {
			g.all[g.tail].next = i
		}
		g.tail = i
		return
	}
	if x.prev == 0 {
		g.head = x.next
	} else {
		g.all[x.prev].next = x.next
	}
	if x.next == 0 {
		g.tail = x.prev
	} else {
		g.all[x.next].prev = x.prev
	}
	x.next, x.prev = 0, 0
}
