package kubernetes

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/reason"
)

const (
	// settleTime is how long a pod may set its volumes up, and a Job be without
	// pods, before the cluster's events are asked why.
	settleTime = 6 * time.Second
	// askEvery is how often they are asked, for all Jobs of a namespace at once.
	askEvery = 6 * time.Second
	// lasting is how long a cause must last to be written down: the verbs, which
	// watch nothing, see it then.
	lasting = 8 * time.Second
	// writesPerLook bounds what a look at all Jobs writes, so that a cluster full
	// of pending pods is not made busier by it.
	writesPerLook = 20
)

// stuck is a Job that can't start, as far as that is known.
type stuck struct {
	cause  reason.Reason // empty: none yet
	since  time.Time     // of the cause
	looked int           // the round in which it was seen last
}

// watchStuck looks for Jobs that can't start, and releases what is held back too
// long.
func (l *leader) watchStuck(ctx context.Context) {
	held, look := time.NewTicker(holdAtMost/10), time.NewTicker(lookEvery)
	defer held.Stop()
	defer look.Stop()
	for round := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-held.C:
			l.t.releaseSince(now.Add(-holdAtMost))
		case now := <-look.C:
			round++
			l.lookAtStuck(ctx, round, now)
		}
	}
}

// waiting is a Job that has not started, with its pods.
type waiting struct {
	object *object
	pods   []*pod
}

func (l *leader) lookAtStuck(ctx context.Context, round int, now time.Time) {
	writes := writesPerLook
	ask := round%int(askEvery/lookEvery) == 0
	said := make(map[string]map[types.UID][]string) // by namespace
	for _, w := range l.t.waiting() {
		o := w.object
		s := l.stuck[o.uid]
		if s == nil {
			s = &stuck{}
			l.stuck[o.uid] = s
		}
		s.looked = round
		f := stuckNow(w.pods)
		if f == nil && ask && w.settles(now) {
			if said[o.namespace] == nil {
				said[o.namespace] = l.warnings.list(ctx, o.namespace)
			}
			if f = w.explain(said[o.namespace]); f != nil {
				l.t.found(o.uid, f)
			}
		}
		if f == nil && o.why != nil && o.why.Stuck && s.cause == o.why.Reason {
			f = o.why // asked before
		}
		if f == nil {
			continue
		}
		if s.cause != f.Reason {
			s.cause, s.since = f.Reason, now
		}
		if now.Sub(s.since) < lasting || o.written == f.Reason || writes == 0 {
			continue
		}
		writes--
		if err := l.write(ctx, o, f); err != nil && ctx.Err() == nil {
			l.c.log.Warn("why a job can't start could not be written", keyNamespace, o.namespace, keyJob, o.name, keyReason, f.Reason, keyError, err)
		}
	}
	l.tidy()
	l.warnings.forget(now.Add(-time.Minute))
	for uid, s := range l.stuck {
		if s.looked != round {
			delete(l.stuck, uid)
		}
	}
}

// settles tells whether it is time to ask why nothing starts.
func (w *waiting) settles(now time.Time) bool {
	if len(w.pods) == 0 {
		return now.Sub(w.object.created) >= settleTime
	}
	p := w.pods[len(w.pods)-1]
	return p.settingUp && now.Sub(p.created) >= settleTime
}

// explain looks for the cause in what the cluster says, nil when it names none.
func (w *waiting) explain(said map[types.UID][]string) *finding {
	subject, f := w.object.uid, &finding{Stuck: true}
	if n := len(w.pods); n > 0 {
		subject, f.Pod = w.pods[n-1].uid, w.pods[n-1].name
	}
	f.Events = said[subject]
	for i := len(f.Events) - 1; i >= 0; i-- {
		name, detail, _ := strings.Cut(f.Events[i], ": ")
		if why := eventReason(name, detail); why != "" {
			f.Cause = reason.Cause{Reason: why, Detail: detail}
			return f
		}
	}
	return nil
}

// eventReason is what an event says of a pod or Job that does not start, empty
// when nothing.
func eventReason(name, detail string) reason.Reason {
	switch name {
	case "FailedMount", "FailedAttachVolume", "FailedMapVolume":
		return reason.VolumeMissing
	case "FailedCreatePodSandBox":
		return reason.StartError
	case "FailedCreate": // of a Job's pods
		if strings.Contains(detail, "serviceaccount") && strings.Contains(detail, "not found") {
			return reason.ConfigMissing
		}
		return reason.Unschedulable
	}
	return ""
}

// mainContainer is the container of a pod whose output is its job's: the one
// that kubectl takes.
func mainContainer(p *corev1.Pod) string {
	if name := p.Annotations[annotationDefaultContainer]; name != "" {
		return name
	}
	if len(p.Spec.Containers) == 0 {
		return ""
	}
	return p.Spec.Containers[0].Name
}
