package supervisor

import (
	"container/heap"
	"time"
)

// What is due at a deadline.
const (
	sendTerm = iota
	sendKill
)

// deadline is a signal that is due to a run. One whose run has ended is passed
// over when it comes.
type deadline struct {
	at   time.Time // with its monotonic clock
	run  RunID
	what int
}

// deadlines is a heap, the next one first.
type deadlines []deadline

func (d *deadlines) push(x deadline) { heap.Push((*deadlineHeap)(d), x) }
func (d *deadlines) pop() deadline   { return heap.Pop((*deadlineHeap)(d)).(deadline) }

type deadlineHeap []deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h deadlineHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlineHeap) Push(x any)        { *h = append(*h, x.(deadline)) }
func (h *deadlineHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
