package embedded

// ref names a slot. Zero names none.
type ref uint32

type state uint8

const (
	free     state = iota
	pending        // sent, not yet on disk
	delayed        // not to be received before due
	ready          // can be received, once it is its group's turn
	inFlight       // received, invisible until due
	leaving        // being removed
)

// slot is what is in memory of a message. It has no pointer, so the garbage
// collector never looks at it, and a million of them are 72 MB.
type slot struct {
	seq        uint64  // its key in the store; in a FIFO queue its sequence number
	sent       instant // when it was sent: its age
	due        instant // delayed, inFlight: when it becomes visible
	received   instant // inFlight: when it was received
	first      int64   // when it was first received, Unix ms; 0: never
	receives   uint32
	nonce      uint32 // of the latest receive: which receipt handle is the present one
	group      uint32 // index of its group; 0: none
	next, prev ref    // in the list it is in
	heap       int32  // its place in the heap of dues, -1: none
	size       uint32 // of its content in the store, bytes
	state      state
	busy       bool // its record is being written
}

const (
	chunkBits = 10
	chunkSize = 1 << chunkBits
)

// slab holds slots in chunks, which never move.
type slab struct {
	chunks []*[chunkSize]slot
	free   ref // list of free slots by next
	used   int
}

func (s *slab) at(r ref) *slot { return &s.chunks[r>>chunkBits][r&(chunkSize-1)] }

func (s *slab) alloc() ref {
	if s.free == 0 {
		s.grow()
	}
	r := s.free
	m := s.at(r)
	s.free = m.next
	*m = slot{heap: -1}
	s.used++
	return r
}

func (s *slab) grow() {
	base := ref(len(s.chunks)) << chunkBits
	s.chunks = append(s.chunks, new([chunkSize]slot))
	for i := ref(chunkSize); i > 0; i-- {
		if r := base + i - 1; r != 0 {
			s.at(r).next = s.free
			s.free = r
		}
	}
}

// release frees r. When it was the last one the memory goes too.
func (s *slab) release(r ref) {
	s.used--
	if s.used == 0 && len(s.chunks) > 16 {
		*s = slab{}
		return
	}
	*s.at(r) = slot{next: s.free}
	s.free = r
}

// each calls fn for every slot in use.
func (s *slab) each(fn func(ref, *slot)) {
	for i, c := range s.chunks {
		for j := range c {
			if c[j].state != free {
				fn(ref(i<<chunkBits+j), &c[j])
			}
		}
	}
}

// list is a doubly linked list of slots.
type list struct {
	head, tail ref
	n          int
}

func (s *slab) push(l *list, r ref) {
	m := s.at(r)
	m.prev, m.next = l.tail, 0
	if l.tail == 0 {
		l.head = r
	} else {
		s.at(l.tail).next = r
	}
	l.tail = r
	l.n++
}

func (s *slab) pushFront(l *list, r ref) {
	m := s.at(r)
	m.prev, m.next = 0, l.head
	if l.head == 0 {
		l.tail = r
	} else {
		s.at(l.head).prev = r
	}
	l.head = r
	l.n++
}

func (s *slab) unlink(l *list, r ref) {
	m := s.at(r)
	if m.prev == 0 {
		l.head = m.next
	} else {
		s.at(m.prev).next = m.next
	}
	if m.next == 0 {
		l.tail = m.prev
	} else {
		s.at(m.next).prev = m.prev
	}
	m.next, m.prev = 0, 0
	l.n--
}
