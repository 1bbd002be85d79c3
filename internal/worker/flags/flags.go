package flags

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// Defaults of a worker's flags.
const (
	DefaultConcurrency  = 1
	DefaultVisibility   = time.Minute
	DefaultDrainTimeout = 30 * time.Second

	defaultLogFormat = "text"
	defaultLogLevel  = "info"
)

// What a fleet says to the worker it starts by its environment. No command is
// given them, and they are never in Args.
const (
	TokenEnv = "QUEUEMILL_WORKER_TOKEN" // that the control address wants
	IDEnv    = "QUEUEMILL_WORKER_ID"    // that the worker's reports carry
	HeldEnv  = "QUEUEMILL_WORKER_HELD"  // true: it receives nothing before it is told to go on

	// envPrefix and a number, from 0: NAME=VALUE, one of Env. Arguments are seen by
	// every user of a machine, an environment by its owner alone.
	envPrefix = "QUEUEMILL_WORKER_ENV_"
)

// Hide moves Env out of what Args tells, and returns it as variables of the
// worker's own environment. Unhide is its other end.
func (f *Flags) Hide() []string {
	variables := make([]string, len(f.Env))
	for i, v := range f.Env {
		variables[i] = envPrefix + strconv.Itoa(i) + "=" + v.Name + "=" + v.Value
	}
	f.Env = nil
	return variables
}

// Unhide takes what Hide made out of this process's environment, so that no
// command inherits it.
func (f *Flags) Unhide() error {
	for i := 0; ; i++ {
		name := envPrefix + strconv.Itoa(i)
		text, ok := os.LookupEnv(name)
		if !ok {
			return nil
		}
		if err := (envValue{&f.Env}).Set(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
}

// Flags are what a worker is told. Defaults returns them filled in; a zero
// Concurrency, Visibility or DrainTimeout is its default.
type Flags struct {
	QueueURL string // or the queue's name alone
	Region   string
	Endpoint string // where a name is looked up, if not at AWS
	RoleARN  string

	Concurrency  int           // messages in hand at once
	Timeout      time.Duration // of one message; 0: none
	DrainTimeout time.Duration // from SIGTERM until what still runs is ended and given back
	Visibility   time.Duration // how long a message is invisible, by each extension
	Heartbeat    time.Duration // between extensions; 0: half of Visibility

	HTTP    string // URL that messages are posted to; empty: Command is run once per message
	Message v1alpha1.MessageSpec
	Breaker *v1alpha1.Breaker // nil: none

	MaxMessages   int            // 0: no end
	ExitWhenEmpty *time.Duration // the queue has been empty for so long; nil: never
	ExitWhenAlone time.Duration  // idle and asked by no controller for so long; 0: never

	Control string // address of control, probes and metrics: unix:PATH or HOST:PORT; empty: none
	Pool    string // name of the worker's pool; empty: none

	Command    []string
	Env        []v1alpha1.EnvVar // of the command; wins over the message's variables
	CleanEnv   bool              // the command inherits PATH, HOME, LANG, TZ and TMPDIR alone
	WorkingDir string            // of the command; empty: the worker's own
	OwnDir     bool              // each run has a working directory of its own, removed afterwards
	TempDir    string            // of message files; empty: the system's

	LogFormat, LogLevel string
}

// Defaults are the flags of a worker that is told nothing.
func Defaults() Flags {
	return Flags{
		Concurrency: DefaultConcurrency, Visibility: DefaultVisibility, DrainTimeout: DefaultDrainTimeout,
		LogFormat: defaultLogFormat, LogLevel: defaultLogLevel,
	}
}

// Register binds f to fs, with what is in f as the defaults (see Defaults). The
// Command is what fs leaves as arguments.
func (f *Flags) Register(fs *pflag.FlagSet) {
	f.complete()
	fs.StringVarP(&f.QueueURL, "queue", "q", f.QueueURL, "`QUEUE` to work on: its URL, or its name")
	fs.StringVar(&f.Region, "region", f.Region, "`REGION` of the queue")
	fs.StringVar(&f.Endpoint, "endpoint", f.Endpoint, "`URL` of an SQS server that is not AWS's, for a queue by name")
	fs.StringVar(&f.RoleARN, "role-arn", f.RoleARN, "`ARN` of the role to assume for the queue")

	fs.IntVarP(&f.Concurrency, "concurrency", "c", f.Concurrency, "`N` messages in hand at once")
	fs.DurationVar(&f.Timeout, "timeout", f.Timeout, "`TIME` that one message may take (default: no limit)")
	fs.DurationVar(&f.DrainTimeout, "drain-timeout", f.DrainTimeout, "`TIME` after SIGTERM for what runs to finish; then it is ended and given back")
	fs.DurationVar(&f.Visibility, "visibility", f.Visibility, "`TIME` that a message stays away when this worker dies")
	fs.DurationVar(&f.Heartbeat, "heartbeat", f.Heartbeat, "extend the visibility of what is worked on every `TIME` (default: half of --visibility)")

	fs.StringVar(&f.HTTP, "http", f.HTTP, "post messages to this `URL`; a COMMAND is the server then, started once")
	fs.Var(formatValue{&f.Message}, "format", "`FORMAT` of messages from the outside in: sns, s3Event, then json or text (default text, or json with --field)")
	fs.Var(fieldsValue{&f.Message}, "field", "`NAME=PATH[=DEFAULT]`: one field of the body as an environment variable; may be repeated")
	fs.Var(messageValue{&f.Message}, "message", "`JSON` or @FILE: the message section of a WorkerPool")
	fs.Var(breakerValue{&f.Breaker}, "breaker", "`N/TIME/PAUSE`: N failures within TIME stop receiving for PAUSE, as in 20/5m/1m")

	fs.IntVar(&f.MaxMessages, "max-messages", f.MaxMessages, "end after `N` messages, with exit code 0")
	fs.Var(graceValue{&f.ExitWhenEmpty}, "exit-when-empty", "end when the queue is empty, or with =`TIME` has been for so long")
	fs.Lookup("exit-when-empty").NoOptDefVal = "0s"
	fs.DurationVar(&f.ExitWhenAlone, "exit-when-alone", f.ExitWhenAlone, "end when idle and asked by no controller for this `TIME`")

	fs.StringVar(&f.Control, "control", f.Control, "`ADDRESS` of control, /healthz and /metrics: HOST:PORT or unix:PATH (default: none)")
	fs.StringVar(&f.Pool, "pool", f.Pool, "`NAME` of the WorkerPool this is one of")

	fs.VarP(envValue{&f.Env}, "env", "e", "`NAME=VALUE` in the command's environment; may be repeated")
	fs.BoolVar(&f.CleanEnv, "clean-env", f.CleanEnv, "the command inherits PATH, HOME, LANG, TZ and TMPDIR alone")
	fs.StringVar(&f.WorkingDir, "working-dir", f.WorkingDir, "`FOLDER` where the command starts (default: this one)")
	fs.BoolVar(&f.OwnDir, "own-dir", f.OwnDir, "each run starts in a folder of its own, which is removed behind it")
	fs.StringVar(&f.TempDir, "temp-dir", f.TempDir, "`FOLDER` of message files (default: the system's temporary one)")
	fs.StringVar(&f.LogFormat, "log-format", f.LogFormat, "`FORMAT`: text or json")
	fs.StringVar(&f.LogLevel, "log-level", f.LogLevel, "`LEVEL`: debug, info, warn or error")
}

// complete fills in defaults where a zero value means them.
func (f *Flags) complete() {
	d := Defaults()
	setDefault(&f.Concurrency, d.Concurrency)
	setDefault(&f.Visibility, d.Visibility)
	setDefault(&f.DrainTimeout, d.DrainTimeout)
	setDefault(&f.LogFormat, d.LogFormat)
	setDefault(&f.LogLevel, d.LogLevel)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Args are the arguments that make `queuemill` a worker with these flags: the
// verb, the flags that differ from their defaults, and the command behind --.
func (f *Flags) Args() []string {
	all := *f
	all.complete()
	w := writer{args: []string{"worker"}}
	w.text("queue", all.QueueURL, "")
	w.text("region", all.Region, "")
	w.text("endpoint", all.Endpoint, "")
	w.text("role-arn", all.RoleARN, "")
	w.number("concurrency", all.Concurrency, DefaultConcurrency)
	w.duration("timeout", all.Timeout, 0)
	w.duration("drain-timeout", all.DrainTimeout, DefaultDrainTimeout)
	w.duration("visibility", all.Visibility, DefaultVisibility)
	w.duration("heartbeat", all.Heartbeat, 0)
	w.text("http", all.HTTP, "")
	w.text("message", messageText(&all.Message), messageText(&v1alpha1.MessageSpec{}))
	w.text("breaker", breakerValue{&all.Breaker}.String(), "")
	w.number("max-messages", all.MaxMessages, 0)
	w.text("exit-when-empty", graceValue{&all.ExitWhenEmpty}.String(), "")
	w.duration("exit-when-alone", all.ExitWhenAlone, 0)
	w.text("control", all.Control, "")
	w.text("pool", all.Pool, "")
	for _, v := range all.Env {
		w.text("env", v.Name+"="+v.Value, "")
	}
	w.bool("clean-env", all.CleanEnv)
	w.text("working-dir", all.WorkingDir, "")
	w.bool("own-dir", all.OwnDir)
	w.text("temp-dir", all.TempDir, "")
	w.text("log-format", all.LogFormat, defaultLogFormat)
	w.text("log-level", all.LogLevel, defaultLogLevel)
	if len(all.Command) > 0 {
		w.args = append(append(w.args, "--"), all.Command...)
	}
	return w.args
}

// writer writes flags as --name=value, so that no value is taken for a flag.
type writer struct{ args []string }

func (w *writer) text(name, value, without string) {
	if value != without {
		w.args = append(w.args, "--"+name+"="+value)
	}
}

func (w *writer) number(name string, n, without int) {
	w.text(name, strconv.Itoa(n), strconv.Itoa(without))
}

func (w *writer) duration(name string, d, without time.Duration) {
	w.text(name, d.String(), without.String())
}

func (w *writer) bool(name string, on bool) {
	if on {
		w.args = append(w.args, "--"+name)
	}
}

func messageText(m *v1alpha1.MessageSpec) string {
	text, err := json.Marshal(m)
	if err != nil { // a schema that is no JSON: it came out of a manifest that was read
		panic(fmt.Sprintf("encode the message section: %v", err))
	}
	return string(text)
}
