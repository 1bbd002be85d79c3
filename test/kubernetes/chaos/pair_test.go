package chaos

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/queuemill/queuemill/test/mill"
)

// pair are two controllers that race for the same QueueJobs.
type pair struct {
	w       *world
	random  *rand.Rand
	members [2]*mill.Controller
	kills   int
	both    int      // how often both believed that they lead
	outages []outage // of the API server
	history []string
}

// outage is from before the API server was killed until it was ready again.
type outage struct{ from, until time.Time }

func (p *pair) sinceOutage() time.Duration {
	if len(p.outages) == 0 {
		return math.MaxInt64
	}
	return time.Since(p.outages[len(p.outages)-1].until)
}

// secondPods takes out the runs of pods that Kubernetes made beside another one
// of the same Job: the Job controller does not know what became of the create that
// was under way when the API server went, and makes another pod.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#handling-pod-and-container-failures
// says that a program may sometimes be started twice. Nothing of ours makes pods.
func (p *pair) secondPods(runs []run) (left []run) {
	first := map[string]*run{}
	for _, r := range runs {
		if f := first[r.job]; f != nil && slices.ContainsFunc(p.outages, func(o outage) bool {
			// Times of creation have no fractions.
			return !f.created.Before(o.from.Add(-2*time.Second)) && !f.created.After(o.until.Add(time.Second))
		}) {
			continue
		}
		left = append(left, r)
		if first[r.job] == nil {
			first[r.job] = &left[len(left)-1]
		}
	}
	return left
}

func (p *pair) note(format string, args ...any) {
	p.history = append(p.history, stamp(time.Now())+" "+fmt.Sprintf(format, args...))
}

// start starts a member. Without election it believes that it leads.
func (p *pair) start(i int, elect bool) {
	p.members[i] = p.w.startController(fmt.Sprintf("--leader-elect=%v", elect))
	p.note("controller %d starts as process %d, election %v", i, p.members[i].Pid, elect)
}

// kill ends a member with SIGKILL.
func (p *pair) kill(i int) {
	p.note("controller %d is killed", i)
	p.members[i].Kill()
	p.kills++
}

// killOne kills one of the two 0.2 to 2 s from now and starts it again. Every
// other one leads without asking, so that at most times two do, or one does and
// two others race for the lease.
func (p *pair) killOne() {
	p.w.t.Helper()
	i := p.random.IntN(2)
	select {
	case <-time.After(200*time.Millisecond + time.Duration(p.random.Int64N(int64(1800*time.Millisecond)))):
	case <-p.members[0].Exited():
		i = 0
	case <-p.members[1].Exited():
		i = 1
	}
	p.mustRun(i)
	p.kill(i)
	p.start(i, p.random.IntN(2) == 0)
}

// atStart is what a controller says that finds no API server, or one that does
// not serve the CRD yet, and ends: its kubelet would start it again.
var atStart = regexp.MustCompile(`connect to the cluster|does not know QueueJobs`)

// mustRun fails when a member has ended by itself, but for one that came up while
// the API server did.
func (p *pair) mustRun(i int) {
	p.w.t.Helper()
	ended, err := p.members[i].Ended()
	if text := p.members[i].Log(); ended && (p.sinceOutage() > time.Minute || !atStart.MatchString(text)) {
		p.w.t.Fatalf("controller %d ended by itself (%v):\n%s", i, err, tail(text, 8000))
	}
}

// usurp stops the leader until the other one leads and lets it go on, so that
// both believe that they lead. It also counts as an end of a leadership.
func (p *pair) usurp() {
	t := p.w.t
	t.Helper()
	for i := range p.members {
		p.kill(i)
		p.start(i, true)
	}
	leader := p.leader(0, 1)
	p.note("controller %d leads and is stopped", leader)
	p.members[leader].Signal(syscall.SIGSTOP)
	other := p.leader(1 - leader)
	p.note("controller %d leads, and %d goes on", other, leader)
	p.members[leader].Signal(syscall.SIGCONT)
	p.both++
}

// leader waits until one of the members leads.
func (p *pair) leader(of ...int) (leader int) {
	t := p.w.t
	t.Helper()
	p.w.within(patience, func() string {
		for _, i := range of {
			if leads(t, p.members[i]) {
				leader = i
				return ""
			}
		}
		return fmt.Sprintf("none of the controllers %v leads", of)
	})
	return leader
}

var leading = regexp.MustCompile(`(?m)^queuemill_controller_leader(\{.*\})? 1$`)

// leads tells whether a controller says that it leads.
func leads(t testing.TB, c *mill.Controller) bool {
	t.Helper()
	client := &http.Client{Timeout: time.Second}
	resp, err := client.Get(c.URL + "/metrics")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return err == nil && leading.Match(text)
}

// logs are what the two wrote last.
func (p *pair) logs() string {
	return fmt.Sprintf("controller 0:\n%s\ncontroller 1:\n%s", tail(p.members[0].Log(), 3000), tail(p.members[1].Log(), 3000))
}

// around is what was done to the pair, for a message's history.
func (p *pair) around() string { return "  " + strings.Join(p.history, "\n  ") }
