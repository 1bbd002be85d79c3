package v1alpha1

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxNameLength is the most characters of a QueueJob's name: with the hash
	// and an attempt's number behind it a job's name is a DNS label still.
	MaxNameLength = 40

	// MaxActiveLimit is the most that maxActive may be.
	MaxActiveLimit = 100_000

	// MaxHeld is how long a job may take under ack: OnSuccess. SQS holds a
	// message in flight for 12 h at most.
	MaxHeld = 11*time.Hour + 30*time.Minute

	maxHistory             = 1_000_000
	maxDeduplicationWindow = 14 * 24 * time.Hour // as long as SQS keeps a message
	maxBreakerTime         = 24 * time.Hour
)

// Validate says all that is wrong, after SetDefaults. Whether message.schema
// is a JSON Schema is found by message.NewReader.
func (q *QueueJob) Validate() field.ErrorList {
	errs := validateName(KindQueueJob, q.Name, field.NewPath("metadata", "name"))
	if q.GenerateName != "" {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "generateName"), "a QueueJob needs a name of its own"))
	}
	errs = append(errs, validateNamespace(q.Namespace)...)
	s, at := &q.Spec, field.NewPath("spec")
	errs = append(errs, validateQueue(&s.Queue, at.Child("queue"))...)
	errs = append(errs, validateRange(int64(s.MaxActive), 1, MaxActiveLimit, at.Child("maxActive"))...)
	errs = append(errs, validateOneOf(s.Ack, at.Child("ack"), AckOnCreate, AckOnSuccess)...)
	errs = append(errs, validateOneOf(s.DeletionPolicy, at.Child("deletionPolicy"), DeletionOrphan, DeletionDelete)...)
	errs = append(errs, validateMessage(&s.Message, at.Child("message"))...)
	if n := s.SuccessfulJobsHistoryLimit; n != nil {
		errs = append(errs, validateRange(int64(*n), 0, maxHistory, at.Child("successfulJobsHistoryLimit"))...)
	}
	if n := s.FailedJobsHistoryLimit; n != nil {
		errs = append(errs, validateRange(int64(*n), 1, maxHistory, at.Child("failedJobsHistoryLimit"))...)
	}
	errs = append(errs, validateDuration(s.DeduplicationWindow, 0, maxDeduplicationWindow, at.Child("deduplicationWindow"))...)
	errs = append(errs, validateBreaker(s.Breaker, at.Child("breaker"))...)
	return append(errs, validateTemplate(s, at)...)
}

func validateNamespace(namespace string) field.ErrorList {
	if namespace == "" || len(validation.IsDNS1123Label(namespace)) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "namespace"), namespace,
		"a namespace is at most 63 lower case letters, digits and '-', and begins and ends with a letter or digit")}
}

func validateName(kind, name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "give the "+kind+" a name")}
	}
	what := "job's"
	if kind == KindWorkerPool {
		what = "worker's"
	}
	var errs field.ErrorList
	if len(name) > MaxNameLength {
		errs = append(errs, field.Invalid(at, name, fmt.Sprintf("has %d characters; at most %d leave room for the %s own name behind it", len(name), MaxNameLength, what)))
	}
	if len(validation.IsDNS1123Label(name[:min(len(name), MaxNameLength)])) > 0 {
		errs = append(errs, field.Invalid(at, name, "a name is lower case letters, digits and '-', and begins and ends with a letter or digit"))
	}
	return errs
}

func validateQueue(q *QueueSource, at *field.Path) field.ErrorList {
	if q.SQS == nil {
		return field.ErrorList{field.Required(at, "say where the messages come from, as in sqs: {name: NAME}")}
	}
	return validateSQS(q.SQS, at.Child("sqs"))
}

var (
	queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	region    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`) // servers that speak the protocol have names of their own
	roleARN   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)
)

func validateSQS(q *SQSSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case q.URL == "" && q.Name == "":
		errs = append(errs, field.Required(at, "exactly one of url and name is wanted"))
	case q.URL != "" && q.Name != "":
		errs = append(errs, field.Forbidden(at.Child("name"), "url is set already; exactly one of url and name is wanted"))
	}
	if q.Name != "" && !isQueueName(q.Name) {
		errs = append(errs, field.Invalid(at.Child("name"), q.Name, "a queue's name is 1 to 80 letters, digits, '-' and '_', .fifo behind it counted where the queue is one"))
	}
	if q.URL != "" {
		if why := wrongQueueURL(q.URL); why != "" {
			errs = append(errs, field.Forbidden(at.Child("url"), why)) // the URL may hold a password: not repeated
		}
	}
	if q.Region != "" && !region.MatchString(q.Region) {
		errs = append(errs, field.Invalid(at.Child("region"), q.Region, "a region looks like eu-west-1"))
	}
	if q.RoleARN != "" && !roleARN.MatchString(q.RoleARN) {
		errs = append(errs, field.Invalid(at.Child("roleARN"), q.RoleARN, "a role looks like arn:aws:iam::123456789012:role/NAME"))
	}
	return errs
}

func isQueueName(name string) bool {
	return len(name) <= 80 && queueName.MatchString(strings.TrimSuffix(name, ".fifo"))
}

// wrongQueueURL says what is wrong with a queue's URL, "" when nothing is.
func wrongQueueURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "a queue's URL looks like https://sqs.eu-west-1.amazonaws.com/123456789012/NAME"
	case u.User != nil:
		return "a queue's URL holds no credentials; they come from the environment, or by roleARN"
	case u.RawQuery != "" || u.Fragment != "":
		return "a queue's URL has no ? and no #"
	case !isQueueName(u.Path[strings.LastIndexByte(u.Path, '/')+1:]):
		return "a queue's URL ends with the queue's name"
	}
	return ""
}

func validateMessage(m *MessageSpec, at *field.Path) field.ErrorList {
	errs := validateFormat(m, at.Child("format"))
	seen := map[string]bool{}
	for i, env := range m.Env {
		at := at.Child("env").Index(i)
		switch {
		case env.Name == "":
			errs = append(errs, field.Required(at.Child("name"), "name the environment variable"))
		case seen[env.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), env.Name))
		default:
			if why := wrongTarget(env.Name, m); why != "" {
				errs = append(errs, field.Invalid(at.Child("name"), env.Name, why))
			}
		}
		seen[env.Name] = true
		if env.FieldPath == "" {
			errs = append(errs, field.Required(at.Child("fieldPath"), "say which field of the body, as in customer.name or items[0].sku"))
		} else if _, err := ParseFieldPath(env.FieldPath); err != nil {
			errs = append(errs, field.Invalid(at.Child("fieldPath"), env.FieldPath, err.Error()))
		}
		if d := env.Default; d != nil && (strings.ContainsRune(*d, 0) || len(*d) > 64<<10) {
			errs = append(errs, field.Invalid(at.Child("default"), "…", "no environment variable can hold it: NUL in it, or over 64 KiB"))
		}
	}
	if m.DeduplicationField != "" {
		if _, err := ParseFieldPath(m.DeduplicationField); err != nil {
			errs = append(errs, field.Invalid(at.Child("deduplicationField"), m.DeduplicationField, err.Error()))
		}
	}
	return errs
}

func validateFormat(m *MessageSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	known := []MessageFormat{FormatJSON, FormatText, FormatSNS, FormatS3Event}
	for i, f := range m.Format {
		before := m.Format[:i]
		switch {
		case !slices.Contains(known, f):
			errs = append(errs, field.NotSupported(at.Index(i), f, known))
		case slices.Contains(before, f):
			errs = append(errs, field.Duplicate(at.Index(i), f))
		case i > 0 && !before[i-1].wrapper():
			errs = append(errs, field.Invalid(at.Index(i), f, fmt.Sprintf("nothing comes behind %s; the layers stand from the outside in, as in [sns, s3Event] or [sns, json]", before[i-1])))
		case f == FormatSNS && i > 0:
			errs = append(errs, field.Invalid(at.Index(i), f, "sns stands first: it is the outermost layer"))
		case f == FormatText && slices.Contains(before, FormatS3Event):
			errs = append(errs, field.Invalid(at.Index(i), f, "what s3Event gives is JSON; take text away"))
		case f == FormatText && m.LooksInside():
			errs = append(errs, field.Invalid(at.Index(i), f, "env, schema and deduplicationField need fields, and text has none; make it json"))
		}
	}
	return errs
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// S3Variables are the variables that the s3Event format makes of a record.
var S3Variables = []string{"S3_BUCKET", "S3_KEY", "S3_SIZE", "S3_EVENT"}

// wrongTarget says why a message must not set the variable, "" when it may.
func wrongTarget(name string, m *MessageSpec) string {
	switch {
	case !envName.MatchString(name):
		return "a variable's name is letters, digits and _, and does not begin with a digit"
	case choosesProgram(name):
		return "a message must not choose which program or library is loaded"
	case strings.HasPrefix(name, "QUEUEMILL_"):
		return "QUEUEMILL_ is for the variables that Queuemill sets"
	case slices.Contains(S3Variables, name) && slices.Contains(m.Format, FormatS3Event):
		return "the s3Event format sets it already"
	}
	return ""
}

// choosesProgram tells whether the variable says which program or library is
// loaded.
func choosesProgram(name string) bool {
	return name == "PATH" || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_")
}

func validateRange(n, least, most int64, at *field.Path) field.ErrorList {
	if n < least || n > most {
		return field.ErrorList{field.Invalid(at, n, fmt.Sprintf("must be %d to %d", least, most))}
	}
	return nil
}

func validateDuration(d *metav1.Duration, least, most time.Duration, at *field.Path) field.ErrorList {
	if d == nil || least <= d.Duration && d.Duration <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(at, Human(d.Duration), fmt.Sprintf("must be %s to %s", Human(least), Human(most)))}
}

// Human is a duration as people write it: 5m, not 5m0s.
func Human(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func validateOneOf[T ~string](value T, at *field.Path, all ...T) field.ErrorList {
	if slices.Contains(all, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, value, all)}
}
