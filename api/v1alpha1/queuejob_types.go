package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status

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
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Jobs are the records by state. A Queued job exists and has no room in the
	// cluster yet, or is suspended by a quota system.
	Jobs JobCounts `json:"jobs,omitzero"`

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
type QueueJobSpec struct {
	// Queue is where the messages come from.
	Queue QueueSource `json:"queue"`

	// Suspend stops receiving; jobs that run go on.
	Suspend bool `json:"suspend,omitempty"`

	// MaxActive is the most jobs that may be unfinished at once, 1 to 100,000;
	// nothing is received that there is no room to start. Default 10.
	MaxActive int `json:"maxActive,omitempty"`

	// Ack says when the message leaves the queue. Default OnCreate.
	Ack AckMode `json:"ack,omitempty"`

	// Message says how a message is read.
	Message MessageSpec `json:"message,omitempty"`

	// Exactly one of Process and Kubernetes says where the job runs.
	Process    *ProcessTemplate    `json:"process,omitempty"`
	Kubernetes *KubernetesTemplate `json:"kubernetes,omitempty"`

	// SuccessfulJobsHistoryLimit is how many succeeded records are kept.
	// Default 100.
	SuccessfulJobsHistoryLimit *int `json:"successfulJobsHistoryLimit,omitempty"`

	// FailedJobsHistoryLimit is how many failed and invalid records are kept.
	// When it is reached receiving stops: failures are never dropped to make
	// room. Default 1000.
	FailedJobsHistoryLimit *int `json:"failedJobsHistoryLimit,omitempty"`

	// DeduplicationWindow is how long a finished job is recognised at least.
	// Default 5m.
	DeduplicationWindow *metav1.Duration `json:"deduplicationWindow,omitempty"`

	// DeletionPolicy is what becomes of the jobs when the QueueJob goes.
	// Default Orphan.
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Breaker pauses receiving while everything fails. Without it there is none.
	Breaker *Breaker `json:"breaker,omitempty"`
}

// QueueSource names one queue: exactly one of its fields is set.
type QueueSource struct {
	SQS *SQSSource `json:"sqs,omitempty"`
}

// SQSSource is an SQS queue, or one of any endpoint that speaks its protocol.
type SQSSource struct {
	// URL is the queue's URL. A host that is not AWS's is its own endpoint.
	// Exactly one of URL and Name is set.
	URL string `json:"url,omitempty"`

	// Name is looked up in the account; on a laptop it is a queue of the
	// embedded server, made when it is not there.
	Name string `json:"name,omitempty"`

	// Region overrides the one in the URL or the environment.
	Region string `json:"region,omitempty"`

	// RoleARN is assumed before the queue is used.
	RoleARN string `json:"roleARN,omitempty"`
}

// AckMode says when the message leaves the queue.
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
type DeletionPolicy string

const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionDelete DeletionPolicy = "Delete"
)

// MessageFormat is one layer of a message's encoding.
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
	Format []MessageFormat `json:"format,omitempty"`

	// Env makes environment variables of fields of the body.
	Env []FieldEnv `json:"env,omitempty"`

	// Schema is a JSON Schema (2020-12 unless $schema says otherwise). A body
	// that does not fit becomes an Invalid record and starts nothing.
	Schema *runtime.RawExtension `json:"schema,omitempty"`

	// DeduplicationField is the dotted path of the producer's own key. Without
	// it the queue's message ID is the identity.
	DeduplicationField string `json:"deduplicationField,omitempty"`

	// Confidential keeps bodies and log tails out of everything that lists.
	Confidential bool `json:"confidential,omitempty"`
}

// FieldEnv makes one environment variable of one field of the body.
type FieldEnv struct {
	// Name is the variable, [A-Za-z_][A-Za-z0-9_]*; PATH, LD_* and QUEUEMILL_*
	// are refused.
	Name string `json:"name"`

	// FieldPath is dotted, with [n] for list elements: "items[0].sku".
	FieldPath string `json:"fieldPath"`

	// Default is used where the field is missing or null. Without it the
	// message is Invalid then.
	Default *string `json:"default,omitempty"`
}

// Breaker pauses receiving while everything fails.
type Breaker struct {
	// Failures is how many failures within Within open the breaker.
	Failures int `json:"failures"`

	// Within is the window in which failures are counted.
	Within metav1.Duration `json:"within"`

	// Pause is how long nothing is received; then one message is let through.
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
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// TerminationGracePeriod is the time between SIGTERM and SIGKILL.
	// Default 30s.
	TerminationGracePeriod *metav1.Duration `json:"terminationGracePeriod,omitempty"`

	// Retries is how many times a failed attempt is tried again before the job
	// is Failed. Default 0.
	Retries int `json:"retries,omitempty"`

	// RetryBackoff is the wait before the first retry; it doubles each time, up
	// to ten minutes. Default 10s, as a Kubernetes Job's.
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
	JobTemplate runtime.RawExtension `json:"jobTemplate"`
}
