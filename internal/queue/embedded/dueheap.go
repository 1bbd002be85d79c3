package embedded

// dueHeap orders slots by when they become visible, the earliest first. Each
// slot knows its place, so that any can be taken out. Four children a node:
// most visibility timeouts are equal, so that most pushes stay at the end.
type dueHeap struct {
	slab  *slab
	items []dueItem
}

type dueItem struct {
	due instant
	ref ref
}

func (h *dueHeap) len() int { return len(h.items) }

// push adds r with its slot's due.
func (h *dueHeap) push(r ref) {
	h.items = append(h.items, dueItem{h.slab.at(r).due, r})
	h.up(len(h.items) - 1)
}

// remove takes r out, wherever it is.
func (h *dueHeap) remove(r ref) {
	i := int(h.slab.at(r).heap)
	h.slab.at(r).heap = -1
	last := len(h.items) - 1
	moved := h.items[last]
	h.items = h.items[:last]
	if i == last {
		if last == 0 && cap(h.items) > 4096 {
			h.items = nil
		}
		return
	}
	h.items[i] = moved
	h.down(h.up(i))
}

// up lifts the item at i to its place and returns the place.
func (h *dueHeap) up(i int) int {
	it := h.items[i]
	for i > 0 {
		parent := (i - 1) / 4
		if h.items[parent].due <= it.due {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, it)
	return i
}

func (h *dueHeap) down(i int) {
	it := h.items[i]
	for {
		first := 4*i + 1
		if first >= len(h.items) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h.items)); c++ {
			if h.items[c].due < h.items[least].due {
				least = c
			}
		}
		if h.items[least].due >= it.due {
			break
		}
		h.set(i, h.items[least])
		i = least
	}
	h.set(i, it)
}

func (h *dueHeap) set(i int, it dueItem) {
	h.items[i] = it
	h.slab.at(it.ref).heap = int32(i)
}
