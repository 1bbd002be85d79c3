package simulate

import (
	"container/heap"
	"time"
)

type kind int

const (
	finished kind = iota // a message
	became               // a worker ready
	sampled              // the queue
)

// event happens at a time; of those at the same time the one pushed first.
type event struct {
	at     time.Duration
	order  int
	kind   kind
	worker *worker
	took   time.Duration // the message's service time
}

func (s *simulation) push(e event) {
	s.order++
	e.order = s.order
	heap.Push(&s.events, e)
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}

// fifo is what waits, oldest first: times of arrival.
type fifo struct {
	head int
	at   []time.Duration
}

func (q *fifo) len() int             { return len(q.at) - q.head }
func (q *fifo) push(t time.Duration) { q.at = append(q.at, t) }

func (q *fifo) pop() time.Duration {
	t := q.at[q.head]
	q.head++
	if q.head > 1024 && q.head > len(q.at)/2 {
		q.at = q.at[:copy(q.at, q.at[q.head:])]
		q.head = 0
	}
	return t
}
