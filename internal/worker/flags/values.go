package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// messageValue is the message section of a WorkerPool: JSON, or @ and the file
// that holds it, in JSON or YAML. What it does not say stays.
type messageValue struct{ spec *v1alpha1.MessageSpec }

func (v messageValue) Type() string   { return "JSON" }
func (v messageValue) String() string { return "" }

func (v messageValue) Set(s string) error {
	text := []byte(s)
	if file, ok := strings.CutPrefix(s, "@"); ok {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return err
		}
	}
	if !json.Valid(text) {
		return yaml.UnmarshalStrict(text, v.spec)
	}
	d := json.NewDecoder(bytes.NewReader(text)) // leaves a schema as it is written
	d.DisallowUnknownFields()
	return d.Decode(v.spec)
}

// formatValue is a list of formats, commas between them.
type formatValue struct{ spec *v1alpha1.MessageSpec }

func (v formatValue) Type() string   { return "FORMAT" }
func (v formatValue) String() string { return "" }

func (v formatValue) Set(s string) error {
	v.spec.Format = nil
	for f := range strings.SplitSeq(s, ",") {
		v.spec.Format = append(v.spec.Format, v1alpha1.MessageFormat(strings.TrimSpace(f)))
	}
	return nil
}

// fieldsValue is one field of the body each time: NAME=PATH or NAME=PATH=DEFAULT.
type fieldsValue struct{ spec *v1alpha1.MessageSpec }

func (v fieldsValue) Type() string   { return "NAME=PATH" }
func (v fieldsValue) String() string { return "" }

func (v fieldsValue) Set(s string) error {
	name, path, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("want NAME=PATH or NAME=PATH=DEFAULT, as in TARGET=customer.name")
	}
	field := v1alpha1.FieldEnv{Name: name, FieldPath: path}
	if before, after, ok := strings.Cut(path, "="); ok {
		field.FieldPath, field.Default = before, &after
	}
	v.spec.Env = append(v.spec.Env, field)
	return nil
}

// envValue is one variable each time: NAME=VALUE.
type envValue struct{ env *[]v1alpha1.EnvVar }

func (v envValue) Type() string   { return "NAME=VALUE" }
func (v envValue) String() string { return "" }

func (v envValue) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("want NAME=VALUE")
	}
	*v.env = append(*v.env, v1alpha1.EnvVar{Name: name, Value: value})
	return nil
}

// breakerValue is failures, window and pause: 20/5m0s/1m0s.
type breakerValue struct{ breaker **v1alpha1.Breaker }

func (v breakerValue) Type() string { return "N/TIME/PAUSE" }

func (v breakerValue) String() string {
	if v.breaker == nil || *v.breaker == nil {
		return ""
	}
	b := *v.breaker
	return fmt.Sprintf("%d/%s/%s", b.Failures, b.Within.Duration, b.Pause.Duration)
}

func (v breakerValue) Set(s string) error {
	wrong := errors.New("want FAILURES/WITHIN/PAUSE, as in 20/5m/1m")
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return wrong
	}
	failures, err1 := strconv.Atoi(parts[0])
	within, err2 := time.ParseDuration(parts[1])
	pause, err3 := time.ParseDuration(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || failures < 1 || within <= 0 || pause <= 0 {
		return wrong
	}
	*v.breaker = &v1alpha1.Breaker{
		Failures: failures, Within: metav1.Duration{Duration: within}, Pause: metav1.Duration{Duration: pause},
	}
	return nil
}

// graceValue is a duration that may be left out.
type graceValue struct{ grace **time.Duration }

func (v graceValue) Type() string { return "TIME" }

func (v graceValue) String() string {
	if v.grace == nil || *v.grace == nil {
		return ""
	}
	return (*v.grace).String()
}

func (v graceValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return errors.New("want a time, as in 30s")
	}
	*v.grace = &d
	return nil
}
