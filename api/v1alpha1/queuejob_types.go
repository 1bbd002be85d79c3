package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=qj,categories=all
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="messages are received as there is room"
// +kubebuilder:printcolumn:name="Queued",type=integer,JSONPath=`.status.jobs.queued`,description="jobs that wait for room"
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.jobs.running`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.jobs.failed`
// +kubebuilder:printcolumn:name="Waiting",type=integer,JSONPath=`.status.queue.visible`,description="messages in the queue, about"
// +kubebuilder:printcolumn:name="Last message",type=date,JSONPath=`.status.lastMessageTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="why it is Ready, or not"
// +kubebuilder:printcolumn:name="Queue",type=string,priority=1,JSONPath=`.spec.queue.sqs['url','name']`
// +kubebuilder:printcolumn:name="Ack",type=string,priority=1,JSONPath=`.spec.ack`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40",message="metadata.name: at most 40 characters leave room for the job's own name behind it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: a name is lower case letters, digits and '-', and begins and ends with a letter or digit"
// +kubebuilder:validation:XValidation:rule="!has(self.metadata.generateName)",message="metadata.generateName: a QueueJob needs a name of its own"

// QueueJob turns each message of a queue into one job, as a CronJob turns each
// tick into one.
type QueueJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec QueueJobSpec `json:"spec"`

	// Status is written by the controller of a cluster; a manifest on a laptop
	// has none.
	Status QueueJobStatus `json:"status,omitzero"`
}

// +kubebuilder:object:root=true

// QueueJobList is a list of QueueJobs.
type QueueJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []QueueJob `json:"items"`
}

// QueueJobStatus is how a QueueJob does.
type QueueJobStatus struct {
	// ObservedGeneration is the generation of the spec that the rest is about.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, SourceHealthy, TemplateValid, Suspended, RecordsFull
	// and BreakerOpen.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Jobs are the records by state. A Queued job exists and has no room in the
	// cluster yet, or is suspended by a quota system.
	// +optional
	Jobs JobCounts `json:"jobs"`

	// Duplicates is how many messages were recognised as such since the
	// controller started.
	Duplicates int64 `json:"duplicates,omitempty"`

	// LastMessageTime is when the latest message was received.
	LastMessageTime *metav1.Time `json:"lastMessageTime,omitempty"`

	// Queue is what the queue last reported, where it reports its depth.
	Queue *QueueCounts `json:"queue,omitempty"`
}

// JobCounts are records by state.
type JobCounts struct {
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Invalid   int `json:"invalid"`
}

// QueueCounts are a queue's approximate numbers of messages.
type QueueCounts struct {
	Visible  int64 `json:"visible"`
	InFlight int64 `json:"inFlight"`
	Delayed  int64 `json:"delayed"`
}

// QueueJobSpec is what a person writes. SetDefaults fills what is left out;
// Validate says what is wrong.
// +kubebuilder:validation:XValidation:rule="has(self.process) || has(self.kubernetes)",message="say where the job runs: exactly one of process and kubernetes is wanted"
// +kubebuilder:validation:XValidation:rule="!has(self.process) || !has(self.kubernetes)",message="process is set already; exactly one of process and kubernetes is wanted",fieldPath=".kubernetes"
type QueueJobSpec struct {
	// Queue is where the messages come from.
	Queue QueueSource `json:"queue"`

	// Suspend stops receiving; jobs that run go on.
	Suspend bool `json:"suspend,omitempty"`

	// MaxActive is the most jobs that may be unfinished at once, 1 to 100,000;
	// nothing is received that there is no room to start. Default 10.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +kubebuilder:default=10
	MaxActive int `json:"maxActive,omitempty"`

	// Ack says when the message leaves the queue. Default OnCreate.
	// +kubebuilder:default=OnCreate
	Ack AckMode `json:"ack,omitempty"`

	// Message says how a message is read.
	Message MessageSpec `json:"message,omitempty"`

	// Exactly one of Process and Kubernetes says where the job runs.
	Process    *ProcessTemplate    `json:"process,omitempty"`
	Kubernetes *KubernetesTemplate `json:"kubernetes,omitempty"`

	// SuccessfulJobsHistoryLimit is how many succeeded records are kept.
	// Default 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:default=100
	SuccessfulJobsHistoryLimit *int `json:"successfulJobsHistoryLimit,omitempty"`

	// FailedJobsHistoryLimit is how many failed and invalid records are kept.
	// When it is reached receiving stops: failures are never dropped to make
	// room. Default 1000.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:default=1000
	FailedJobsHistoryLimit *int `json:"failedJobsHistoryLimit,omitempty"`

	// DeduplicationWindow is how long a finished job is recognised at least.
	// Default 5m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('336h')",message="must be 0s to 336h"
	// +kubebuilder:default="5m"
	DeduplicationWindow *metav1.Duration `json:"deduplicationWindow,omitempty"`

	// DeletionPolicy is what becomes of the jobs when the QueueJob goes.
	// Default Orphan.
	// +kubebuilder:default=Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Breaker pauses receiving while everything fails. Without it there is none.
	Breaker *Breaker `json:"breaker,omitempty"`
}

// QueueSource names one queue: exactly one of its fields is set.
// +kubebuilder:validation:XValidation:rule="has(self.sqs)",message="say where the messages come from, as in sqs: {name: NAME}"
type QueueSource struct {
	SQS *SQSSource `json:"sqs,omitempty"`
}

// SQSSource is an SQS queue, or one of any endpoint that speaks its protocol.
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.name)",message="exactly one of url and name is wanted"
// +kubebuilder:validation:XValidation:rule="!has(self.url) || !self.url.contains('@')",message="url: a queue's URL holds no credentials; they come from the environment, or by roleARN"
type SQSSource struct {
	// URL is the queue's URL. A host that is not AWS's is its own endpoint.
	// Exactly one of URL and Name is set.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.contains('@') || self.matches('^https?://[^/]+/')",message="a queue's URL looks like https://sqs.eu-west-1.amazonaws.com/123456789012/NAME"
	// +kubebuilder:validation:XValidation:rule="self.contains('@') || !self.contains('?') && !self.contains('#')",message="a queue's URL has no ? and no #"
	// +kubebuilder:validation:XValidation:rule="self.contains('@') || self.matches('/[A-Za-z0-9_-]{1,80}([.]fifo)?$')",message="a queue's URL ends with the queue's name"
	URL string `json:"url,omitempty"`

	// Name is looked up in the account; on a laptop it is a queue of the
	// embedded server, made when it is not there.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+([.]fifo)?$')",message="a queue's name is 1 to 80 letters, digits, '-' and '_', .fifo behind it counted where the queue is one"
	Name string `json:"name,omitempty"`

	// Region overrides the one in the URL or the environment.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]+(-[a-z0-9]+)*$')",message="a region looks like eu-west-1"
	Region string `json:"region,omitempty"`

	// RoleARN is assumed before the queue is used.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$')",message="a role looks like arn:aws:iam::123456789012:role/NAME"
	RoleARN string `json:"roleARN,omitempty"`
}

// AckMode says when the message leaves the queue.
// +kubebuilder:validation:Enum=OnCreate;OnSuccess
type AckMode string

const (
	// AckOnCreate deletes the message once its job exists: the job is the
	// record from then on.
	AckOnCreate AckMode = "OnCreate"

	// AckOnSuccess holds the message in flight until the job succeeds; a failed
	// job gives it back.
	AckOnSuccess AckMode = "OnSuccess"
)

// DeletionPolicy is what becomes of the jobs when their QueueJob goes.
// +kubebuilder:validation:Enum=Orphan;Delete
type DeletionPolicy string

const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionDelete DeletionPolicy = "Delete"
)

// MessageFormat is one layer of a message's encoding.
// +kubebuilder:validation:Enum=json;text;sns;s3Event
type MessageFormat string

const (
	FormatJSON    MessageFormat = "json"    // the body is a JSON document
	FormatText    MessageFormat = "text"    // the body is opaque text
	FormatSNS     MessageFormat = "sns"     // an SNS envelope, unwrapped first
	FormatS3Event MessageFormat = "s3Event" // an S3 event notification: one job per record
)

// MessageSpec says how a message is read.
type MessageSpec struct {
	// Format lists the layers from the outside in: wrappers (sns, s3Event),
	// then at most one of json and text. Default [text], or [json] when Env,
	// Schema or DeduplicationField need fields.
	// +kubebuilder:validation:MaxItems=3
	// +listType=atomic
	Format []MessageFormat `json:"format,omitempty"`

	// Env makes environment variables of fields of the body.
	// +kubebuilder:validation:MaxItems=1000
	// +listType=map
	// +listMapKey=name
	Env []FieldEnv `json:"env,omitempty"`

	// Schema is a JSON Schema (2020-12 unless $schema says otherwise). A body
	// that does not fit becomes an Invalid record and starts nothing.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Schema *runtime.RawExtension `json:"schema,omitempty"`

	// DeduplicationField is the dotted path of the producer's own key. Without
	// it the queue's message ID is the identity.
	// +kubebuilder:validation:MaxLength=1024
	DeduplicationField string `json:"deduplicationField,omitempty"`

	// Confidential keeps bodies and log tails out of everything that lists.
	Confidential bool `json:"confidential,omitempty"`
}

// FieldEnv makes one environment variable of one field of the body.
type FieldEnv struct {
	// Name is the variable, [A-Za-z_][A-Za-z0-9_]*; PATH, LD_* and QUEUEMILL_*
	// are refused.
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",message="a variable's name is letters, digits and _, and does not begin with a digit"
	// +kubebuilder:validation:XValidation:rule="self != 'PATH' && !self.startsWith('LD_') && !self.startsWith('DYLD_')",message="a message must not choose which program or library is loaded"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('QUEUEMILL_')",message="QUEUEMILL_ is for the variables that Queuemill sets"
	Name string `json:"name"`

	// FieldPath is dotted, with [n] for list elements: "items[0].sku".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	FieldPath string `json:"fieldPath"`

	// Default is used where the field is missing or null. Without it the
	// message is Invalid then.
	// +kubebuilder:validation:MaxLength=65536
	Default *string `json:"default,omitempty"`
}

// Breaker pauses receiving while everything fails.
type Breaker struct {
	// Failures is how many failures within Within open the breaker.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:default=20
	Failures int `json:"failures"`

	// Within is the window in which failures are counted.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be 1s to 24h"
	// +kubebuilder:default="5m"
	Within metav1.Duration `json:"within"`

	// Pause is how long nothing is received; then one message is let through.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be 1s to 24h"
	// +kubebuilder:default="1m"
	Pause metav1.Duration `json:"pause"`
}

// ProcessTemplate runs the job as a process of this machine. Where Kubernetes
// has a word for a field, it is that word.
type ProcessTemplate struct {
	// Command is the program and its first arguments; no shell is involved.
	// $(NAME) is expanded from the job's environment as Kubernetes does it.
	Command []string `json:"command"`

	// Args follow Command.
	Args []string `json:"args,omitempty"`

	// Env is set for every job and wins over the message's variables.
	Env []EnvVar `json:"env,omitempty"`

	// WorkingDir is where the job starts; relative paths are taken from the
	// manifest's folder. Default: the job's own scratch directory.
	WorkingDir string `json:"workingDir,omitempty"`

	// Timeout is how long one attempt may run. Then SIGTERM goes to the whole
	// process group and, after TerminationGracePeriod, SIGKILL. Default: none.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('1ms') && duration(self) <= duration('8760h')",message="must be 1ms to 8760h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// TerminationGracePeriod is the time between SIGTERM and SIGKILL.
	// Default 30s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="must be 0s to 1h"
	TerminationGracePeriod *metav1.Duration `json:"terminationGracePeriod,omitempty"`

	// Retries is how many times a failed attempt is tried again before the job
	// is Failed. Default 0.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Retries int `json:"retries,omitempty"`

	// RetryBackoff is the wait before the first retry; it doubles each time, up
	// to ten minutes. Default 10s, as a Kubernetes Job's.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="a duration looks like 30s, 5m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || duration(self) >= duration('0s') && duration(self) <= duration('10m')",message="must be 0s to 10m"
	RetryBackoff *metav1.Duration `json:"retryBackoff,omitempty"`

	// LogLimit is how much output of one attempt is kept: its head and its
	// tail, the cut marked. Default 10Mi.
	LogLimit *resource.Quantity `json:"logLimit,omitempty"`
}

// EnvVar is one environment variable.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// KubernetesTemplate runs the job as a batch/v1 Job.
type KubernetesTemplate struct {
	// JobTemplate is a batch/v1 JobTemplateSpec, kept opaque.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	JobTemplate runtime.RawExtension `json:"jobTemplate"`
}
