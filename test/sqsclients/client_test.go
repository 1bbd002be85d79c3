package sqsclients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// request is one call by any client.
type request struct {
	Endpoint string         `json:"endpoint"`
	Access   string         `json:"access"` // empty: unsigned
	Secret   string         `json:"secret"`
	Action   string         `json:"action"` // as in the API: SendMessage
	Params   map[string]any `json:"params"` // as in the API; bytes are blobs
}

// reply is what a client made of the answer: one of Result, Code, Refused.
type reply struct {
	Result  map[string]any `json:"result"`
	Code    string         `json:"code"`    // of the error, as the client shows it
	Type    string         `json:"type"`    // of the error, where the client has types
	Status  int            `json:"status"`  // HTTP, of an error; 0: the client does not tell
	Message string         `json:"message"` // of the error
	Refused string         `json:"refused"` // by the client itself, with its reason
}

// client is one of the table's columns.
type client interface {
	name() string // as the table's head has it
	do(ctx context.Context, r request) (reply, error)
}

// blob marks bytes in Params.
type blob []byte

// goClient is aws-sdk-go-v2, which speaks JSON.
type goClient struct{}

func (goClient) name() string { return "aws-sdk-go-v2" }

func (goClient) do(ctx context.Context, r request) (reply, error) {
	client := reflect.ValueOf(sdkClient(r))
	method := client.MethodByName(r.Action)
	if !method.IsValid() {
		return reply{}, fmt.Errorf("aws-sdk-go-v2 has no action %s", r.Action)
	}
	input := reflect.New(method.Type().In(1).Elem())
	params, err := json.Marshal(r.Params) // fields have the API's names; bytes are base64
	if err != nil {
		return reply{}, err
	}
	decoder := json.NewDecoder(bytes.NewReader(params))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(input.Interface()); err != nil {
		return reply{}, fmt.Errorf("%s: %w", r.Action, err)
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
	if err, _ := out[1].Interface().(error); err != nil {
		return goError(err), nil
	}
	data, err := json.Marshal(out[0].Interface())
	if err != nil {
		return reply{}, err
	}
	var a reply
	return a, json.Unmarshal(data, &a.Result)
}

func goError(err error) reply {
	var (
		api  smithy.APIError
		http *awshttp.ResponseError
	)
	if !errors.As(err, &api) {
		return reply{Refused: err.Error()}
	}
	a := reply{Code: api.ErrorCode(), Message: api.ErrorMessage(), Type: reflect.TypeOf(api).Elem().Name()}
	if errors.As(err, &http) {
		a.Status = http.HTTPStatusCode()
	}
	return a
}

func sdkClient(r request) *sqs.Client {
	o := sqs.Options{Region: "us-east-1", BaseEndpoint: &r.Endpoint, Retryer: aws.NopRetryer{}}
	o.Credentials = aws.AnonymousCredentials{}
	if r.Access != "" {
		o.Credentials = credentials.NewStaticCredentialsProvider(r.Access, r.Secret, "")
	}
	return sqs.New(o)
}

// pythonClient is boto3 in one process, which does one call after another.
// Debian's speaks Query.
type pythonClient struct {
	version, model string

	mu  sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

func (p *pythonClient) name() string { return "boto3 " + p.version }

// startPython starts the process; env is added to its environment.
func startPython(t *testing.T, env ...string) *pythonClient {
	t.Helper()
	python := "/usr/bin/python3" // Debian's own, whatever else is on the PATH
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		python = "python3"
	}
	cmd := exec.Command(python, "testdata/client.py")
	cmd.Env = clientEnv(t, env...)
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &pythonClient{in: in, out: bufio.NewReaderSize(out, 1<<20)}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start python3: %v; `make test` installs python3-boto3", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("python client: %v\n%s", err, stderr)
		}
	})
	var hello struct{ Version, Model string }
	line, _ := p.out.ReadBytes('\n')
	if err := json.Unmarshal(line, &hello); err != nil {
		in.Close()
		t.Fatalf("python3 has no boto3; `make test` installs Debian's python3-boto3:\n%s", stderr)
	}
	p.version, p.model = hello.Version, hello.Model
	return p
}

func (p *pythonClient) do(_ context.Context, r request) (reply, error) {
	r.Params = tagged(r.Params).(map[string]any)
	line, err := json.Marshal(r)
	if err != nil {
		return reply{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return reply{}, err
	}
	line, err = p.out.ReadBytes('\n')
	if err != nil {
		return reply{}, fmt.Errorf("python client: %w", err)
	}
	var a reply
	return a, json.Unmarshal(line, &a)
}

// tagged wraps blobs for client.py.
func tagged(v any) any {
	switch v := v.(type) {
	case blob:
		return map[string]any{"$bytes": []byte(v)}
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = tagged(e)
		}
		return m
	case []map[string]any:
		l := []any{}
		for _, e := range v {
			l = append(l, tagged(e))
		}
		return l
	}
	return v
}

// awsClient is the aws command, a process per call. Debian's, version 2, speaks
// Query; newer ones speak JSON.
type awsClient struct {
	path, version string
	env           []string
}

func (c *awsClient) name() string { return "aws " + c.version }

func newAWS(t *testing.T, env ...string) *awsClient {
	t.Helper()
	c := &awsClient{path: "/usr/bin/aws", env: clientEnv(t, env...)} // Debian's own, whatever else is on the PATH
	if _, err := os.Stat(c.path); err != nil {
		if c.path, err = exec.LookPath("aws"); err != nil {
			t.Fatalf("%v; `make test` installs Debian's awscli", err)
		}
	}
	out, err := exec.Command(c.path, "--version").Output()
	if err != nil {
		t.Fatalf("aws --version: %v", err)
	}
	c.version = strings.TrimPrefix(strings.Fields(string(out))[0], "aws-cli/")
	return c
}

var awsErrorText = regexp.MustCompile(`(?s)An error occurred \(([^)]*)\) when calling the \w+ operation(?: \([^)]*\))?: (.*)`)

func (c *awsClient) do(ctx context.Context, r request) (reply, error) {
	params, err := json.Marshal(r.Params)
	if err != nil {
		return reply{}, err
	}
	args := []string{"sqs", kebab(r.Action), "--endpoint-url", r.Endpoint, "--output", "json", "--no-cli-pager", "--cli-input-json", string(params)}
	if len(params) > 100_000 { // an argument has its limit
		file, err := os.CreateTemp("", "sqsclients-*.json")
		if err != nil {
			return reply{}, err
		}
		defer os.Remove(file.Name())
		if _, err := file.Write(params); err != nil {
			return reply{}, err
		}
		file.Close()
		args[len(args)-1] = "file://" + file.Name()
	}
	if r.Access == "" {
		args = append(args, "--no-sign-request")
	}
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = append(slices.Clone(c.env), "AWS_ACCESS_KEY_ID="+r.Access, "AWS_SECRET_ACCESS_KEY="+r.Secret)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	text := strings.TrimSpace(stderr.String())
	if m := awsErrorText.FindStringSubmatch(text); m != nil {
		return reply{Code: m[1], Message: m[2]}, nil
	}
	if err != nil {
		return reply{Refused: text}, nil
	}
	a := reply{Result: map[string]any{}}
	if stdout.Len() == 0 {
		return a, nil
	}
	return a, json.Unmarshal(stdout.Bytes(), &a.Result)
}

// kebab is an action as the aws command spells it.
func kebab(action string) string {
	var b strings.Builder
	for i, r := range action {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// clientEnv keeps whatever the machine has configured out of the clients.
func clientEnv(t *testing.T, more ...string) []string {
	return append([]string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_DEFAULT_REGION=us-east-1", "AWS_MAX_ATTEMPTS=1", "PYTHONWARNINGS=ignore",
	}, more...)
}

// moveTasks is the part of SQS's model that the botocore of Debian 12 is too
// old to know, in the model's own terms (AWS API reference).
const moveTasks = "testdata/movetasks.json"

// withMoveTasks writes, where the model at path does not know the message move
// tasks, a model that does, and returns the environment that makes a client use it.
func withMoveTasks(t *testing.T, path string) (env []string) {
	t.Helper()
	var model, more struct {
		Version    any            `json:"version"`
		Metadata   map[string]any `json:"metadata"`
		Operations map[string]any `json:"operations"`
		Shapes     map[string]any `json:"shapes"`
	}
	read := func(path string, to any) bool {
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, to)
		}
		return err == nil
	}
	if !read(path, &model) || model.Operations["StartMessageMoveTask"] != nil {
		return nil // compressed, as newer ones are, or new enough
	}
	if !read(moveTasks, &more) {
		t.Fatalf("%s can't be read", moveTasks)
	}
	for name, operation := range more.Operations {
		model.Operations[name] = operation
	}
	for name, shape := range more.Shapes {
		model.Shapes[name] = shape
	}
	data, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "sqs", "2012-11-05", "service-2.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"AWS_DATA_PATH=" + dir}
}

const callTimeout = time.Minute // an aws command on a busy machine
