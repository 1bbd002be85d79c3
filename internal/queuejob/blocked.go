package queuejob

// blocked is why whoever runs the Runner holds it back; the zero value does not.
type blocked struct {
	reason, message string
}

func (b *blocked) is() bool { return b.reason != "" }

// SetBlocked holds the Runner back, as when its template is known to be invalid:
// nothing is received and no retry is begun; what is in hand and what runs goes
// on. The condition Ready says reason (a CamelCase word) and message. An empty
// reason lets it go on.
func (r *Runner) SetBlocked(reason, message string) {
	r.mu.Lock()
	was := r.blocked
	r.blocked = blocked{reason, message}
	switch {
	case reason != "" && was.reason != reason:
		r.event(true, EventBlocked, "", reason+": "+message)
		r.interruptReceive()
	case reason == "" && was.is():
		r.event(false, EventUnblocked, "", "receiving goes on: "+was.reason+" is over")
	}
	r.unlock()
	r.wakeReceive.poke()
}
