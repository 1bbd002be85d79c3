package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/test/cluster"
)

const (
	kubeNamespace = "bench"
	messageIDKey  = "queuemill.dev/message-id"
	queueJobKey   = "queuemill.dev/queuejob"

	// patience is how long one step of a row may take.
	patience = 5 * time.Minute
)

// kube is a real control plane, etcd with fsync, the queue's server and the
// controller, each in processes of their own.
type kube struct {
	b       *bench
	cluster *cluster.Cluster
	config  *rest.Config
	client  kubernetes.Interface
	sqs     *process // the queues
	jobs    *jobWatch
	crds    string
}

// kubernetes starts what the rows of a cluster need, once.
func (b *bench) kubernetes(ctx context.Context) (*kube, error) {
	if b.kube != nil {
		return b.kube, nil
	}
	k := &kube{b: b, crds: "deploy/kubernetes/crds"}
	b.kube = k
	var err error
	if k.cluster, err = cluster.Start(ctx, cluster.Options{Fsync: true, Dir: filepath.Join(b.dir, "cluster"), Log: os.Stderr}); err != nil {
		return nil, err
	}
	k.config = clientConfig(k.cluster.Config())
	if k.client, err = kubernetes.NewForConfig(k.config); err != nil {
		return nil, err
	}
	if err := k.kubectl(ctx, "", "apply", "-f", k.crds); err != nil {
		return nil, err
	}
	if _, err := k.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: kubeNamespace}}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if k.sqs, _, err = b.up(ctx, filepath.Join(b.dir, "kube-queues")); err != nil {
		return nil, err
	}
	k.jobs, err = watchJobs(k.client)
	return k, err
}

// clientConfig is a plain client's at its fastest: protobuf, no limit of its own.
func clientConfig(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = c.ContentType + ",application/json"
	c.QPS = -1
	return c
}

func (k *kube) close() {
	if k.jobs != nil {
		k.jobs.stop()
	}
	if k.sqs != nil {
		k.sqs.kill()
	}
	if k.cluster != nil {
		if err := k.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: stop the cluster:", err)
		}
	}
}

// kubectl runs it as a person would; stdin may be a manifest.
func (k *kube) kubectl(ctx context.Context, stdin string, args ...string) error {
	cmd := exec.CommandContext(ctx, k.cluster.Bin("kubectl"), append([]string{"--kubeconfig", k.cluster.Kubeconfig(), "-n", kubeNamespace}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return nil
}

// controller is one of ours.
type controller struct {
	*process
	metrics string // URL
}

var metricsLine = regexp.MustCompile(`metrics and probes at (http://\S+)`)

// controller starts one and returns when it says that it is up.
func (k *kube) controller(ctx context.Context, args ...string) (*controller, error) {
	args = append([]string{"controller", "--kubeconfig", k.cluster.Kubeconfig(), "-n", kubeNamespace, "--listen", "127.0.0.1:0", "--log-level", "error"}, args...)
	c := &controller{process: &process{cmd: exec.CommandContext(ctx, k.b.binary, args...)}}
	c.cmd.Dir = k.b.dir
	c.cmd.Env = append(os.Environ(), "HOME="+k.b.dir, "AWS_EC2_METADATA_DISABLED=true", "POD_NAMESPACE="+kubeNamespace)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.cmd.Stderr = write, write
	err = c.cmd.Start()
	write.Close()
	if err != nil {
		return nil, err
	}
	var said strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if m := metricsLine.FindStringSubmatch(lines.Text()); m != nil {
			c.metrics = m[1]
			go func() {
				io.Copy(os.Stderr, read) //nolint:errcheck // errors that it logs
				read.Close()
			}()
			return c, nil
		}
	}
	c.kill()
	return nil, fmt.Errorf("%s does not say that it is up:\n%s", c.cmd, said.String())
}

// queueJob applies one of that name that reads a fresh queue of that name. Its
// Jobs are some other controller's to run, so that nobody does: with Kubernetes'
// own, each Job costs a write more soon after its create, and whoever is faster
// is measured without it. The queue's client is returned. more are further
// fields of its spec.
func (k *kube) queueJob(ctx context.Context, name string, suspend bool, more ...string) (*kubeQueue, error) {
	if err := k.b.create(ctx, k.sqs, name); err != nil {
		return nil, err
	}
	q := &kubeQueue{name: name, url: k.sqs.queueURL(name), client: admin(k.sqs)}
	err := k.kubectl(ctx, fmt.Sprintf(`apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: %s}
spec:
  queue: {sqs: {url: "%s"}}
  suspend: %v
  maxActive: 100000
  %s
  kubernetes:
    jobTemplate:
      spec:
        managedBy: bench.example.com/nobody
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            containers: [{name: work, image: work:1, command: [work]}]
`, name, q.url, suspend, strings.Join(more, "\n  ")), "apply", "-f", "-")
	return q, err
}

// resume lets a suspended QueueJob receive.
func (k *kube) resume(ctx context.Context, name string) error {
	err := k.kubectl(ctx, "", "patch", "queuejob", name, "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	return err
}

// sweep removes all Jobs and QueueJobs.
func (k *kube) sweep(ctx context.Context) error {
	if err := k.kubectl(ctx, "", "delete", "queuejobs", "--all", "--wait=true"); err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	if err := k.client.BatchV1().Jobs(kubeNamespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{}); err != nil {
		return err
	}
	return k.jobs.await(ctx, "no Jobs are left", func(j *jobWatch) bool { return len(j.all) == 0 })
}

type kubeQueue struct {
	name, url string
	client    *sqs.Client
}

// send sends one message and returns its ID and when the call began.
func (q *kubeQueue) send(ctx context.Context) (id string, began time.Time, err error) {
	began = time.Now()
	out, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &payload})
	if err != nil {
		return "", began, err
	}
	return aws.ToString(out.MessageId), began, nil
}

// kubeWith is the cluster with a controller and one QueueJob that receives.
func (b *bench) kubeWith(ctx context.Context, name string) (*kube, *controller, *kubeQueue, error) {
	k, err := b.kubernetes(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := k.controller(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	q, err := k.queueJob(ctx, name, false)
	if err == nil {
		err = k.awaitReady(ctx, q)
	}
	if err != nil {
		c.kill()
		return nil, nil, nil, err
	}
	return k, c, q, nil
}

// awaitReady sends a message and waits for its Job: the whole way works.
func (k *kube) awaitReady(ctx context.Context, q *kubeQueue) error {
	id, _, err := q.send(ctx)
	if err != nil {
		return err
	}
	_, err = k.jobs.ofMessage(ctx, id)
	return err
}

var errTooLong = errors.New("took too long")
