package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// LeaseName is the Lease that the replicas of a controller compete for, in the
// controller's own namespace.
const LeaseName = "queuemill-controller"

// A leader that died is replaced after leaseDuration and at most two looks of the
// one that follows: it sees the last renewal up to one look late, and the lease's
// end too. A look is up to 2.2 retryPeriods away (client-go: JitterFactor). One
// that can't renew stops a second before anybody may follow it.
const (
	leaseDuration = 4 * time.Second
	renewDeadline = 3 * time.Second
	retryPeriod   = 300 * time.Millisecond
)

// election campaigns, leads, and campaigns again, until the process ends:
//
//	campaigns ── lease acquired ──▶ leads ── lease lost ──▶ stops ── all has ended ──▶ campaigns
//	    │                            └──── told to end ──▶ stops ── all has ended ──▶ releases the lease
//	    └──── told to end ──▶ ended
//
// A leader that is told to end keeps the lease until its work has ended, so
// that the next one begins after it. One that lost the lease can't: for a moment
// two may believe that they lead. That is harmless, since whatever the two do
// has the same names.
type election struct {
	lock    resourcelock.Interface
	log     *slog.Logger
	metrics *metrics
	elector atomic.Pointer[leaderelection.LeaderElector]
}

// newElection needs get, create and update on the Lease.
func newElection(config *rest.Config, namespace string, log *slog.Logger, m *metrics) (*election, error) {
	config = rest.CopyConfig(config)
	config.Timeout = renewDeadline / 2 // a call that hangs leaves time for another
	config.QPS = -1
	client, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("open the lease: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &election{
		lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: LeaseName},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + uuid.NewString()},
			Labels:     map[string]string{"app.kubernetes.io/name": "queuemill"},
		},
		log: log, metrics: m,
	}, nil
}

// run calls lead each time this process leads, with a context that ends with
// the leadership. It returns when ctx ends, or with lead's error.
func (e *election) run(ctx context.Context, lead func(context.Context) error) error {
	for ctx.Err() == nil {
		if err := e.term(ctx, lead); err != nil {
			return err
		}
	}
	return nil
}

// term is one campaign and what it won.
func (e *election) term(ctx context.Context, lead func(context.Context) error) error {
	held, release := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Background()))
	defer release()
	won := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: LeaseName, Lock: e.lock, ReleaseOnCancel: true,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { won <- ctx },
			OnStoppedLeading: func() {},
			OnNewLeader:      e.changed,
		},
	})
	if err != nil {
		return fmt.Errorf("campaign for the lease: %w", err)
	}
	e.elector.Store(elector)
	ended := make(chan struct{})
	go func() { defer close(ended); elector.Run(held) }()
	defer func() { release(); <-ended }()

	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return nil
	case leading := <-won:
		e.metrics.leading.Set(1)
		defer e.metrics.leading.Set(0)
		e.log.Info("leads")
		leading, stop := context.WithCancel(leading)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		err := lead(leading)
		if ctx.Err() == nil && err == nil {
			e.log.Warn("lost the lease: stopped, and campaigns again", keyError, context.Cause(leading))
		}
		return err
	}
}

func (e *election) changed(identity string) {
	if identity == "" {
		return
	}
	e.metrics.leaderChanges.Inc()
	e.log.Info("the leader is", "identity", identity)
}

// errOverdue is a leader that should have stopped.
var errOverdue = errors.New("leads without a lease")

// check says that this process still leads long after its lease ended.
func (e *election) check() error {
	elector := e.elector.Load()
	if elector == nil {
		return nil
	}
	if err := elector.Check(3 * stopBound); err != nil {
		return fmt.Errorf("%w: %w", errOverdue, err)
	}
	return nil
}
