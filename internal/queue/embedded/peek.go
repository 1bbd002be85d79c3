package embedded

import "math"

// Peek shows up to n messages that could be received now, in about the order in
// which they would be, without receiving them.
func (q *Queue) Peek(n int) []*Message {
	q.mu.Lock()
	if q.shutErr != nil {
		q.mu.Unlock()
		return nil
	}
	q.index.advance(q.b.clock.now())
	var found []slot
	for _, r := range q.index.upcoming(n, math.MaxUint64) {
		found = append(found, *q.index.at(r))
	}
	q.mu.Unlock()
	var messages []*Message
	for i := range found {
		// What was deleted in between is not there any more.
		if c, err := q.read(found[i].seq); err == nil {
			messages = append(messages, q.message(&found[i], c))
		}
	}
	return messages
}
