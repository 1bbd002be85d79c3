package doctor

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

func asProblem(err error) (*httpapi.Problem, bool) {
	var p *httpapi.Problem
	return p, errors.As(err, &p)
}

// queueTimeout bounds the look at one queue.
const queueTimeout = 10 * time.Second

// queues asks each queue for its settings, with the caller's own credentials.
func (c *clusterExam) queues(ctx context.Context, queueJobs []v1alpha1.QueueJob, pools []v1alpha1.WorkerPool) {
	var sources []v1alpha1.SQSSource
	read := map[string]reading{}
	note := func(source *v1alpha1.SQSSource, by reading) {
		if source == nil {
			return
		}
		own := *source
		own.RoleARN = "" // the controller's
		known, seen := read[queueKey(&own)]
		if !seen {
			sources = append(sources, own)
		}
		read[queueKey(&own)] = reading{cmp.Or(known.ack, by.ack), known.workers || by.workers}
	}
	for i := range queueJobs {
		note(queueJobs[i].Spec.Queue.SQS, reading{ack: queueJobs[i].Spec.Ack})
	}
	for i := range pools {
		note(pools[i].Spec.Queue.SQS, reading{workers: true})
	}
	for _, source := range sources {
		c.add(examineQueue(ctx, source, read[queueKey(&source)])...)
	}
}

func queueKey(s *v1alpha1.SQSSource) string { return s.URL + s.Name + s.Region }

func examineQueue(ctx context.Context, source v1alpha1.SQSSource, by reading) []Check {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	view, opened := lookAt(ctx, source)
	var deadLetters *httpapi.Queue
	if view.DeadLetterQueue != "" {
		beside := v1alpha1.SQSSource{Name: view.DeadLetterQueue, Region: source.Region}
		if opened != nil && opened.URL() != "" {
			beside = v1alpha1.SQSSource{URL: sibling(opened.URL(), view.DeadLetterQueue), Region: source.Region}
		}
		dead, _ := lookAt(ctx, beside)
		deadLetters = &dead
	}
	checks := queueSettings(&view, by, deadLetters)
	if opened != nil && view.Error == "" {
		checks = append(checks, queueClock(ctx, opened.URL(), view.Name)...)
	}
	return checks
}

// sibling is the URL of another queue of the same account.
func sibling(queueURL, name string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	u.Path = path.Join(path.Dir(u.Path), name)
	return u.String()
}

// lookAt asks for depth and settings; what goes wrong is the view's Error.
func lookAt(ctx context.Context, source v1alpha1.SQSSource) (httpapi.Queue, *sqs.Queue) {
	view := httpapi.Queue{Name: source.Name, URL: source.URL}
	if view.Name == "" {
		view.Name = path.Base(source.URL)
	}
	q, err := sqs.Open(ctx, source, sqs.Options{})
	if err != nil {
		view.Error = err.Error()
		return view, nil
	}
	depth, err := q.Depth(ctx)
	var settings queue.Settings
	if err == nil {
		settings, err = q.Settings(ctx)
	}
	if err != nil {
		view.Error = err.Error()
		return view, q
	}
	view.Visible, view.InFlight, view.Delayed = depth.Visible, depth.InFlight, depth.Delayed
	view.VisibilityTimeoutSeconds, view.RetentionSeconds = settings.Visibility.Seconds(), settings.Retention.Seconds()
	view.MaxReceiveCount, view.DeadLetterQueue = settings.MaxReceiveCount, settings.DeadLetterQueue
	return view, q
}

// queueClock asks the queue's server for its clock, without credentials.
func queueClock(ctx context.Context, queueURL, about string) []Check {
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, u.Scheme+"://"+u.Host+"/", nil)
	if err != nil {
		return nil
	}
	asked := time.Now()
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		return []Check{found(Unknown, "clock", about, "", "its server does not tell the time: %v", err)}
	}
	defer res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return []Check{found(Unknown, "clock", about, "", "its server sends no Date")}
	}
	now := time.Now()
	return []Check{clock(about, date, now, now.Sub(asked))}
}
