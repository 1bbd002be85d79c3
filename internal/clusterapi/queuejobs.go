package clusterapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/httpapi"
)

const resourceQueueJobs = "queuejobs"

// queueJobs are the QueueJobs of a cluster.
type queueJobs struct{ client *rest.RESTClient }

func newQueueJobs(config *rest.Config) (queueJobs, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return queueJobs{}, fmt.Errorf("register the kinds: %w", err)
	}
	c := rest.CopyConfig(config)
	c.GroupVersion, c.APIPath = &v1alpha1.GroupVersion, "/apis"
	c.ContentConfig.ContentType, c.ContentConfig.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return queueJobs{}, fmt.Errorf("open the cluster at %s: %w", config.Host, err)
	}
	return queueJobs{client}, nil
}

// list is those of a namespace (empty: of all), by namespace and name.
func (q queueJobs) list(ctx context.Context, namespace string) ([]v1alpha1.QueueJob, error) {
	all, err := listAll(ctx, q.client, resourceQueueJobs, namespace, func(l *v1alpha1.QueueJobList) []v1alpha1.QueueJob { return l.Items })
	if err != nil {
		return nil, fmt.Errorf("list QueueJobs: %w", err)
	}
	slices.SortFunc(all, func(a, b v1alpha1.QueueJob) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return all, nil
}

// listAll is all objects of a resource in a namespace (empty: in all), page by
// page.
func listAll[T, L any, P interface {
	*L
	runtime.Object
	metav1.ListInterface
}](ctx context.Context, client *rest.RESTClient, resource, namespace string, items func(P) []T) ([]T, error) {
	var all []T
	for token := ""; ; {
		page := P(new(L))
		request := client.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Param("limit", "500")
		if token != "" {
			request = request.Param("continue", token)
		}
		if err := request.Do(ctx).Into(page); err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
		if token = page.GetContinue(); token == "" {
			return all, nil
		}
	}
}

// get is one; executor.ErrNotFound when there is none.
func (q queueJobs) get(ctx context.Context, namespace, name string) (*v1alpha1.QueueJob, error) {
	var qj v1alpha1.QueueJob
	err := q.client.Get().Namespace(namespace).Resource(resourceQueueJobs).Name(name).Do(ctx).Into(&qj)
	if err != nil {
		return nil, missing(err)
	}
	return &qj, nil
}

// missing makes executor.ErrNotFound of the API server's word for it. That the
// kind itself is not there stays as it is.
func missing(err error) error {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) {
		if d := status.Status().Details; d != nil && d.Name != "" {
			return executor.ErrNotFound
		}
	}
	return err
}

// suspend changes spec.suspend of a QueueJob or WorkerPool, as an edit would.
func (q queueJobs) suspend(ctx context.Context, resource, namespace, name string, suspend bool) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"suspend": suspend}})
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	return missing(q.client.Patch(types.MergePatchType).Namespace(namespace).Resource(resource).Name(name).
		Body(patch).Do(ctx).Error())
}

// QueueJobs are those of the namespaces that are meant, as they are stored.
func (b *Backend) QueueJobs(ctx context.Context) ([]v1alpha1.QueueJob, error) {
	all, err := b.queueJobs.list(ctx, b.access.Namespace)
	return all, b.Explain(err)
}

// Suspend is httpapi.Controller's: it changes spec.suspend, as an edit would.
func (b *Backend) Suspend(ctx context.Context, name string, suspend bool) error {
	namespace := b.access.Namespace
	if namespace == "" {
		one, err := b.onlyOne(ctx, name)
		if err != nil {
			return err
		}
		namespace = one.Namespace
	}
	return b.Explain(b.queueJobs.suspend(ctx, resourceQueueJobs, namespace, name, suspend))
}

// onlyOne is the QueueJob of that name, where all namespaces are meant.
func (b *Backend) onlyOne(ctx context.Context, name string) (*v1alpha1.QueueJob, error) {
	all, err := b.QueueJobs(ctx)
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.QueueJob
	var namespaces []string
	for i := range all {
		if all[i].Name == name {
			found = &all[i]
			namespaces = append(namespaces, all[i].Namespace)
		}
	}
	return found, one(v1alpha1.KindQueueJob, name, namespaces)
}

// one is an error unless there is one namespace.
func one(kind, name string, namespaces []string) error {
	switch len(namespaces) {
	case 0:
		return executor.ErrNotFound
	case 1:
		return nil
	}
	return httpapi.NewProblem(http.StatusConflict,
		fmt.Sprintf("there is a %s %s in each of the namespaces %s", kind, name, strings.Join(namespaces, ", ")), "choose one with -n NAMESPACE")
}

// Status is httpapi.Controller's: what the controller wrote last, about once a
// second while something changes.
func (b *Backend) Status(ctx context.Context) (httpapi.Status, error) {
	all, err := b.QueueJobs(ctx)
	if err != nil {
		return httpapi.Status{}, err
	}
	s := httpapi.Status{Version: b.version, QueueJobs: []httpapi.QueueJob{}, Idle: true}
	pools, err := b.WorkerPools(ctx)
	if err == nil { // who wants them and may not see them is told by ListPools
		s.WorkerPools = poolViews(pools)
	}
	s.Queues = QueuesOf(all, pools)
	for i := range all {
		view := View(&all[i])
		s.Idle = s.Idle && idle(&all[i])
		s.QueueJobs = append(s.QueueJobs, view)
	}
	return s, nil
}

// View is a QueueJob as the API shows it.
func View(qj *v1alpha1.QueueJob) httpapi.QueueJob {
	qj.SetDefaults()
	v := httpapi.QueueJob{
		Name: qj.Name, Namespace: qj.Namespace, Queue: queueLabel(qj.Spec.Queue.SQS), Executor: "kubernetes",
		Ack: string(qj.Spec.Ack), MaxActive: qj.Spec.MaxActive, Suspended: qj.Spec.Suspend,
		Jobs: httpapi.Counts(qj.Status.Jobs), Duplicates: qj.Status.Duplicates,
		Conditions: Conditions(&qj.ObjectMeta, qj.Status.Conditions),
	}
	if t := qj.Status.LastMessageTime; t != nil {
		v.LastSeen = t.Time
	}
	return v
}

// Conditions are those of a QueueJob or WorkerPool as the API shows them, and
// what its lack of any means. Never nil.
func Conditions(of *metav1.ObjectMeta, stored []metav1.Condition) []httpapi.Condition {
	all := []httpapi.Condition{}
	for _, c := range stored {
		all = append(all, httpapi.Condition{
			Type: c.Type, Status: c.Status == metav1.ConditionTrue, Unknown: c.Status == metav1.ConditionUnknown,
			Reason: c.Reason, Message: c.Message,
		})
	}
	switch {
	case !of.DeletionTimestamp.IsZero():
		all = append(all, httpapi.Condition{Type: "Terminating", Status: true, Reason: "Deleted", Message: "it is being deleted"})
	case len(all) == 0:
		all = append(all, httpapi.Condition{Type: "Ready", Reason: "NotSeen", Message: notSeen})
	}
	return all
}

const notSeen = "no controller has seen it yet; queuemill doctor looks for one"
