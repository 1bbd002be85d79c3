package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wp,categories=all
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="the number of workers follows the backlog"
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desired`
// +kubebuilder:printcolumn:name="Workers",type=integer,JSONPath=`.status.workers.ready`,description="workers that receive"
// +kubebuilder:printcolumn:name="Busy",type=integer,JSONPath=`.status.workers.busy`
// +kubebuilder:printcolumn:name="Retiring",type=integer,JSONPath=`.status.workers.retiring`
// +kubebuilder:printcolumn:name="Waiting",type=integer,JSONPath=`.status.queue.visible`,description="messages in the queue, about"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Decision",type=string,priority=1,JSONPath=`.status.decision.reason`,description="the last decision and why"
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="why it is Ready, or not"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40",message="metadata.name: at most 40 characters leave room for the worker's own name behind it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: a name is lower case letters, digits and '-', and begins and ends with a letter or digit"

// WorkerPool is a number of long-running workers that share a queue; the number
// follows the backlog. A worker with work in hand is never ended by a scale-in,
// an edit or a restart of the controller.
type WorkerPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec WorkerPoolSpec `json:"spec"`

	// Status is written by the controller of a cluster; a manifest on a laptop
	// has none.
	Status WorkerPoolStatus `json:"status,omitzero"`
}

// +kubebuilder:object:root=true

// WorkerPoolList is a list of WorkerPools.
type WorkerPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []WorkerPool `json:"items"`
}

// +kubebuilder:validation:XValidation:rule="[has(self.process), has(self.kubernetes), has(self.scaleTargetRef)].exists_one(x, x)",message="say where the workers run: exactly one of process, kubernetes and scaleTargetRef is wanted"
// +kubebuilder:validation:XValidation:rule="!has(self.minWorkers) || self.minWorkers <= self.maxWorkers",message="minWorkers is over maxWorkers"

// WorkerPoolSpec is what a person writes. SetDefaults fills what is left out;
// Validate says what is wrong.
type WorkerPoolSpec struct {
	// Queue is where the messages come from.
	Queue QueueSource `json:"queue"`

	// Suspend retires all workers, each when it has nothing in hand, and starts
	// none.
	Suspend bool `json:"suspend,omitempty"`

	// MinWorkers is the least there are, 0 to 10,000. Default 0.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MinWorkers int `json:"minWorkers,omitempty"`

	// MaxWorkers is the most that receive, 1 to 10,000. Workers that are
	// retiring and still busy come on top. Default 10.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +kubebuilder:default=10
	MaxWorkers int `json:"maxWorkers,omitempty"`

	// Scaling says how many workers a backlog wants.
	Scaling Scaling `json:"scaling"`

	// Worker says how each worker works: what `queuemill worker` is told.
	Worker WorkerSpec `json:"worker,omitempty"`

	// Message says how a message is read. What does not fit is rejected to the
	// dead-letter queue. DeduplicationField and Confidential are QueueJob's alone.
	Message MessageSpec `json:"message,omitempty"`

	// Exactly one of Process, Kubernetes and ScaleTargetRef says where the
	// workers run.
	Process        *WorkerProcess    `json:"process,omitempty"`
	Kubernetes     *WorkerKubernetes `json:"kubernetes,omitempty"`
	ScaleTargetRef *ScaleTargetRef   `json:"scaleTargetRef,omitempty"`
}

// +kubebuilder:validation:XValidation:rule="[has(self.backlogPerWorker), has(self.steps), has(self.targetWait)].exists_one(x, x)",message="exactly one of backlogPerWorker, steps and targetWait is wanted"

// Scaling is a policy: exactly one of BacklogPerWorker, Steps and TargetWait,
// and what slows it.
type Scaling struct {
	// BacklogPerWorker is how many messages, visible and in flight, one worker
	// is wanted for (target tracking). 1 to 1,000,000.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	BacklogPerWorker int `json:"backlogPerWorker,omitempty"`

	// Steps is a table from the backlog to a number of workers or a change of it.
	Steps *StepScaling `json:"steps,omitempty"`

	// TargetWait is how long a message shall wait at most: as many workers as
	// the arrival rate and the backlog need for that, by the measured service
	// time. 1s to 12h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('1s') && duration(self) <= duration('12h')",message="must be 1s to 12h"
	TargetWait *metav1.Duration `json:"targetWait,omitempty"`

	// ScaleOutCooldown is the least time between a scale-out and the next.
	// Default 0s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be 0s to 24h"
	ScaleOutCooldown *metav1.Duration `json:"scaleOutCooldown,omitempty"`

	// ScaleInCooldown is the least time between any change and a scale-in, and for
	// which fewer workers have to have been wanted. Default 5m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be 0s to 24h"
	ScaleInCooldown *metav1.Duration `json:"scaleInCooldown,omitempty"`

	// IdleAfter is how long nothing is visible, delayed or in flight before the
	// pool goes to zero. Without it the cooldown alone decides. It needs
	// minWorkers 0.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be 0s to 24h"
	IdleAfter *metav1.Duration `json:"idleAfter,omitempty"`

	// MaxScaleIn is how many workers leave in one decision at most; 0: no limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxScaleIn int `json:"maxScaleIn,omitempty"`

	// Interval is the time between two looks at the queue. Default 2s, 10ms to
	// 10m; a look is one request, which SQS charges for.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('10ms') && duration(self) <= duration('10m')",message="must be 10ms to 10m"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// StepScaling is a table of bounds, as Application Auto Scaling's step policies
// have it, on the backlog (visible and in flight messages) itself.
type StepScaling struct {
	// AdjustmentType says what a step's Adjustment is. Default ExactCapacity.
	// +kubebuilder:default=ExactCapacity
	AdjustmentType AdjustmentType `json:"adjustmentType,omitempty"`

	// MinAdjustment is the least change in workers that a PercentChangeInCapacity
	// makes. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MinAdjustment int `json:"minAdjustment,omitempty"`

	// Steps are in order, do not overlap and leave no gap; a larger backlog never
	// wants fewer workers.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	Steps []Step `json:"steps"`
}

// Step is one row: lower <= backlog < upper.
type Step struct {
	// LowerBound is the least backlog of the row; left out: 0.
	// +kubebuilder:validation:Minimum=0
	LowerBound *int64 `json:"lowerBound,omitempty"`

	// UpperBound is the backlog at which the next row begins; left out: no bound.
	// +kubebuilder:validation:Minimum=1
	UpperBound *int64 `json:"upperBound,omitempty"`

	// Adjustment is a number of workers, a change of it, or a change in per cent.
	// +kubebuilder:validation:Minimum=-1000000
	// +kubebuilder:validation:Maximum=1000000
	Adjustment int `json:"adjustment"`
}

// AdjustmentType says what a step's Adjustment is.
// +kubebuilder:validation:Enum=ExactCapacity;ChangeInCapacity;PercentChangeInCapacity
type AdjustmentType string

const (
	ExactCapacity           AdjustmentType = "ExactCapacity"
	ChangeInCapacity        AdjustmentType = "ChangeInCapacity"
	PercentChangeInCapacity AdjustmentType = "PercentChangeInCapacity"
)

// WorkerSpec says how a worker works.
type WorkerSpec struct {
	// Concurrency is how many messages a worker has in hand at once, 1 to 1,000.
	// Default 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +kubebuilder:default=1
	Concurrency int `json:"concurrency,omitempty"`

	// Timeout is how long one message may take, 1ms to 11h30m. Default: none but
	// the queue's 12 h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('1ms') && duration(self) <= duration('11h30m')",message="must be 1ms to 11h30m"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// DrainTimeout is how long a worker that is told to end (SIGTERM) may finish
	// what it has in hand; then it gives that back at once. Default 30s; in
	// Kubernetes 5 s less than the pod's terminationGracePeriodSeconds.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('12h')",message="must be 0s to 12h"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`

	// Visibility is how long a message that is worked on is invisible; it is
	// extended at half of it. It is how long the message of a worker that died
	// stays away. Default 60s, 5s to 12h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('5s') && duration(self) <= duration('12h')",message="must be 5s to 12h"
	Visibility *metav1.Duration `json:"visibility,omitempty"`

	// HTTP posts each message to a server, instead of running the command once
	// per message. The command, where there is one, is the server.
	HTTP *WorkerHTTP `json:"http,omitempty"`

	// Breaker stops receiving while everything fails.
	Breaker *Breaker `json:"breaker,omitempty"`
}

// WorkerHTTP is a server that a message is posted to.
type WorkerHTTP struct {
	// URL is the server's, as a rule http://127.0.0.1:PORT/PATH.
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
}

// WorkerProcess runs workers as processes of this machine. Where Kubernetes has
// a word for a field, it is that word.
type WorkerProcess struct {
	// Command is run once per message, or, with worker.http, is the server; no
	// shell is involved. $(NAME) is expanded from the message's environment as
	// Kubernetes does it. With worker.http it may be left out.
	Command []string `json:"command,omitempty"`

	// Args follow Command.
	Args []string `json:"args,omitempty"`

	// Env is set for every run and wins over the message's variables.
	Env []EnvVar `json:"env,omitempty"`

	// WorkingDir is where the command starts; relative paths are taken from the
	// manifest's folder. Default: a scratch directory of each run.
	WorkingDir string `json:"workingDir,omitempty"`
}

// WorkerKubernetes runs workers as pods that the pool owns.
type WorkerKubernetes struct {
	// Template is a PodTemplateSpec. It is kept as it is: whatever this cluster's
	// API server accepts is accepted. The worker is put in front of the command
	// of Container, which must be explicit.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Template runtime.RawExtension `json:"template"`

	// Container is the one whose command works on messages. Default: the first.
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
}

// ScaleTargetRef is a Deployment of somebody else whose replicas follow the
// backlog. Kubernetes chooses which of its pods end, busy or not: they get SIGTERM
// and their grace period, and the promise that busy is never ended is not made.
type ScaleTargetRef struct {
	// APIVersion is apps/v1.
	// +kubebuilder:validation:Enum=apps/v1
	// +kubebuilder:default=apps/v1
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind is Deployment.
	// +kubebuilder:validation:Enum=Deployment
	// +kubebuilder:default=Deployment
	Kind string `json:"kind,omitempty"`

	// Name is the Deployment's, in the pool's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// WorkerPoolStatus is how a WorkerPool does.
type WorkerPoolStatus struct {
	// ObservedGeneration is the generation of the spec that the rest is about.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, SourceHealthy, TemplateValid (with spec.kubernetes),
	// TargetOwned (with spec.scaleTargetRef), Suspended and ScalingActive.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Desired is how many workers are wanted.
	// +optional
	Desired int `json:"desired"`

	// Workers are those there are, by state.
	// +optional
	Workers WorkerCounts `json:"workers"`

	// Queue is what the queue last reported.
	Queue *QueueCounts `json:"queue,omitempty"`

	// Decision is the last change of Desired, or what holds it.
	Decision *ScalingDecision `json:"decision,omitempty"`

	// LastScaleOutTime, LastScaleInTime and IdleSince carry cooldowns over a
	// change of the controller.
	LastScaleOutTime *metav1.MicroTime `json:"lastScaleOutTime,omitempty"`
	LastScaleInTime  *metav1.MicroTime `json:"lastScaleInTime,omitempty"`
	IdleSince        *metav1.MicroTime `json:"idleSince,omitempty"`
}

// WorkerCounts are workers by state. Busy counts also retiring ones.
type WorkerCounts struct {
	Starting int `json:"starting"`
	Ready    int `json:"ready"`
	Busy     int `json:"busy"`
	Retiring int `json:"retiring"`
	Unknown  int `json:"unknown"`  // did not answer: taken as busy
	Outdated int `json:"outdated"` // of an earlier template
}

// ScalingDecision is what was decided and why.
type ScalingDecision struct {
	// Desired is how many workers it wants.
	Desired int `json:"desired"`
	// Reason is in words: "23 waiting + 4 running over 5 per worker wants 6".
	Reason string `json:"reason"`
	// Time is when it was first decided so.
	Time metav1.MicroTime `json:"time"`
	// NextChange is when the next change is possible, where something holds it.
	NextChange *metav1.MicroTime `json:"nextChange,omitempty"`
}
