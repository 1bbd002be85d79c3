package flags

import (
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// parse is what the command line makes of args.
func parse(t *testing.T, args []string) Flags {
	t.Helper()
	f := Defaults()
	fs := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	f.Register(fs)
	if args[0] != "worker" {
		t.Fatalf("the first argument is %q, want the verb", args[0])
	}
	if err := fs.Parse(args[1:]); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	f.Command = fs.Args()
	return f
}

// full has every field set, each to something that is not its default.
func full() Flags {
	grace := 30 * time.Second
	fallback := "a=b, \"c\""
	return Flags{
		QueueURL: "http://127.0.0.1:9324/000000000000/q", Region: "eu-west-1", Endpoint: "http://x", RoleARN: "arn:aws:iam::123456789012:role/r",
		Concurrency: 64, Timeout: 90 * time.Second, DrainTimeout: time.Second, Visibility: 5 * time.Minute, Heartbeat: 7 * time.Second,
		HTTP: "http://127.0.0.1:8000/work",
		Message: v1alpha1.MessageSpec{
			Format: []v1alpha1.MessageFormat{v1alpha1.FormatSNS, v1alpha1.FormatJSON},
			Env:    []v1alpha1.FieldEnv{{Name: "A", FieldPath: "a.b[0]"}, {Name: "B", FieldPath: "b", Default: &fallback}},
			Schema: &runtime.RawExtension{Raw: []byte(`{"type":"object","required":["a"]}`)},
		},
		Breaker:     &v1alpha1.Breaker{Failures: 3, Within: metav1.Duration{Duration: time.Minute}, Pause: metav1.Duration{Duration: 2 * time.Second}},
		MaxMessages: 7, ExitWhenEmpty: &grace, ExitWhenAlone: time.Hour,
		Control: "unix:/run/w.sock", Pool: "thumbnails",
		Command:  []string{"sh", "-c", "echo --queue $(A) \"$1\"", "--", "-x", ""},
		Env:      []v1alpha1.EnvVar{{Name: "X", Value: "1=2,3"}, {Name: "Y", Value: ""}, {Name: "Z", Value: "-- --z\n$(X)"}},
		CleanEnv: true, WorkingDir: "/srv/a b", OwnDir: true, TempDir: "/dev/shm", LogFormat: "json", LogLevel: "debug",
	}
}

func TestWhatOneWritesTheOtherReads(t *testing.T) {
	f := full()
	for i, v := 0, reflect.ValueOf(f); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves %s out", v.Type().Field(i).Name)
		}
	}
	if diff := cmp.Diff(f, parse(t, f.Args())); diff != "" {
		t.Errorf("-written +read\n%s", diff)
	}
}

func TestAnyPartOfTheFlagsComesBack(t *testing.T) {
	all := reflect.ValueOf(full())
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := Defaults()
		for i := range all.NumField() {
			if r.IntN(2) == 0 {
				reflect.ValueOf(&f).Elem().Field(i).Set(all.Field(i))
			}
		}
		got := parse(t, f.Args())
		if len(f.Command) == 0 {
			f.Command, got.Command = nil, nil
		}
		if diff := cmp.Diff(f, got); diff != "" {
			t.Fatalf("seed %d: -written +read\n%s", seed, diff)
		}
	}
}

func TestDefaultsAreNotWritten(t *testing.T) {
	for _, f := range []Flags{{QueueURL: "q"}, func() Flags { d := Defaults(); d.QueueURL = "q"; return d }()} {
		f.Command = []string{"true"}
		if diff := cmp.Diff([]string{"worker", "--queue=q", "--", "true"}, f.Args()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheTokenIsNeverAnArgument(t *testing.T) {
	t.Setenv(TokenEnv, "s3cret")
	f := full()
	if slices.ContainsFunc(f.Args(), func(a string) bool { return strings.Contains(a, "s3cret") }) {
		t.Error("the token is in the arguments")
	}
}

// What is hidden is in no argument, comes back as it was in its order, and is
// then gone from the environment.
func TestTheEnvironmentOfACommandIsHidden(t *testing.T) {
	f := full()
	f.Env = nil
	for i := range 12 {
		f.Env = append(f.Env, v1alpha1.EnvVar{Name: "N" + strconv.Itoa(i), Value: "s3cret=\n" + strconv.Itoa(i)})
	}
	want := f
	hidden := f.Hide()
	if slices.ContainsFunc(f.Args(), func(a string) bool { return strings.Contains(a, "s3cret") }) {
		t.Errorf("in the arguments: %q", f.Args())
	}
	for _, v := range hidden {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	got := parse(t, f.Args())
	if err := got.Unhide(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-hidden +back\n%s", diff)
	}
	for _, v := range os.Environ() {
		if strings.Contains(v, "s3cret") {
			t.Errorf("left for every command: %s", v)
		}
	}
}

func TestWhatAPersonWrites(t *testing.T) {
	f := parse(t, []string{
		"worker", "-q", "work", "--format", "sns, json", "--field", "A=a.b", "--field", "B=b=x=y", "-e", "K=v",
		"--exit-when-empty", "--breaker", "5/1m/10s", "--", "sh", "-c", "true",
	})
	zero, fallback := time.Duration(0), "x=y"
	want := Defaults()
	want.QueueURL, want.ExitWhenEmpty = "work", &zero
	want.Message = v1alpha1.MessageSpec{
		Format: []v1alpha1.MessageFormat{"sns", "json"},
		Env:    []v1alpha1.FieldEnv{{Name: "A", FieldPath: "a.b"}, {Name: "B", FieldPath: "b", Default: &fallback}},
	}
	want.Env = []v1alpha1.EnvVar{{Name: "K", Value: "v"}}
	want.Breaker = &v1alpha1.Breaker{Failures: 5, Within: metav1.Duration{Duration: time.Minute}, Pause: metav1.Duration{Duration: 10 * time.Second}}
	want.Command = []string{"sh", "-c", "true"}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for want, change := range map[string]func(*Flags){
		"--queue is missing":  func(f *Flags) { f.QueueURL = "" },
		"--endpoint is for":   func(f *Flags) { f.Endpoint = "http://x" },
		"nothing to run":      func(f *Flags) { f.Command, f.HTTP = nil, "" },
		"--concurrency 1001":  func(f *Flags) { f.Concurrency = 1001 },
		"--visibility 1s":     func(f *Flags) { f.Visibility = time.Second },
		"--heartbeat 1m":      func(f *Flags) { f.Heartbeat = time.Minute },
		"--timeout 12h":       func(f *Flags) { f.Timeout = 12 * time.Hour },
		"are not negative":    func(f *Flags) { f.MaxMessages = -1 },
		"exclude each other":  func(f *Flags) { f.OwnDir, f.WorkingDir = true, "/" },
		"--http \"nowhere\"":  func(f *Flags) { f.HTTP = "nowhere" },
		"--env B holds a NUL": func(f *Flags) { f.Env = []v1alpha1.EnvVar{{Name: "B", Value: "\x00"}} },
		"QueueJob's alone":    func(f *Flags) { f.Message.Confidential = true },
		"which program or library": func(f *Flags) {
			f.Message.Env = []v1alpha1.FieldEnv{{Name: "PATH", FieldPath: "a"}}
		},
	} {
		f := Defaults()
		f.QueueURL, f.Command = "http://127.0.0.1/0/q", []string{"true"}
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
		change(&f)
		if err := f.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAWorkerOfAPool(t *testing.T) {
	d := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	p := &v1alpha1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Name: "thumbs"}, Spec: v1alpha1.WorkerPoolSpec{
		Queue:   v1alpha1.QueueSource{SQS: &v1alpha1.SQSSource{Name: "thumbs", Region: "eu-west-1", RoleARN: "arn"}},
		Worker:  v1alpha1.WorkerSpec{Concurrency: 4, Timeout: d(time.Minute), DrainTimeout: d(time.Second), Visibility: d(time.Hour), HTTP: &v1alpha1.WorkerHTTP{URL: "http://127.0.0.1:1/"}},
		Process: &v1alpha1.WorkerProcess{Command: []string{"sh", "-c"}, Args: []string{"true"}, Env: []v1alpha1.EnvVar{{Name: "A", Value: "1"}}},
	}}
	want := Defaults()
	want.QueueURL, want.Region, want.RoleARN, want.Pool = "http://q/0/thumbs", "eu-west-1", "arn", "thumbs"
	want.Concurrency, want.Timeout, want.DrainTimeout, want.Visibility = 4, time.Minute, time.Second, time.Hour
	want.HTTP, want.Command, want.Env = "http://127.0.0.1:1/", []string{"sh", "-c", "true"}, p.Spec.Process.Env
	want.CleanEnv, want.OwnDir = true, true
	if diff := cmp.Diff(want, FromPool(p, "http://q/0/thumbs")); diff != "" {
		t.Error(diff)
	}
	p.Spec.Process.WorkingDir = "/srv"
	if f := FromPool(p, ""); f.QueueURL != "thumbs" || f.OwnDir || f.WorkingDir != "/srv" {
		t.Errorf("%+v", f)
	}
}
