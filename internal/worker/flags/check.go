package flags

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// Least and most of what a worker can be told.
const (
	MaxConcurrency = 1000
	minVisibility  = 5 * time.Second
	maxVisibility  = 12 * time.Hour // SQS's own
)

// Check says the first thing that is wrong, by the flag's name.
func (f *Flags) Check() error {
	switch {
	case f.QueueURL == "":
		return errors.New("--queue is missing: the URL or the name of the queue to work on")
	case strings.Contains(f.QueueURL, "://") && f.Endpoint != "":
		return errors.New("--endpoint is for a queue by name; a URL has its endpoint in it")
	case len(f.Command) == 0 && f.HTTP == "":
		return errors.New("there is nothing to run: write the command behind --, or give --http a URL")
	case f.Concurrency < 1 || f.Concurrency > MaxConcurrency:
		return fmt.Errorf("--concurrency %d is not 1 to %d", f.Concurrency, MaxConcurrency)
	case f.Visibility < minVisibility || f.Visibility > maxVisibility:
		return fmt.Errorf("--visibility %s is not %s to %s", v1alpha1.Human(f.Visibility), v1alpha1.Human(minVisibility), v1alpha1.Human(maxVisibility))
	case f.Heartbeat < 0 || f.Heartbeat > 0 && (f.Heartbeat < time.Second || f.Heartbeat >= f.Visibility):
		return fmt.Errorf("--heartbeat %s is not 1s to less than --visibility (%s)", v1alpha1.Human(f.Heartbeat), v1alpha1.Human(f.Visibility))
	case f.Timeout < 0 || f.Timeout > v1alpha1.MaxHeld:
		return fmt.Errorf("--timeout %s is over %s: a queue holds a message for 12 h at most", v1alpha1.Human(f.Timeout), v1alpha1.Human(v1alpha1.MaxHeld))
	case f.DrainTimeout < 0 || f.MaxMessages < 0 || f.ExitWhenAlone < 0:
		return errors.New("--drain-timeout, --max-messages and --exit-when-alone are not negative")
	case f.OwnDir && f.WorkingDir != "":
		return errors.New("--own-dir and --working-dir exclude each other")
	}
	return f.checkMore()
}

func (f *Flags) checkMore() error {
	if f.HTTP != "" {
		u, err := url.Parse(f.HTTP)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--http %q is no URL: want http://127.0.0.1:PORT/PATH", f.HTTP)
		}
	}
	for _, v := range f.Env {
		if strings.ContainsRune(v.Name+v.Value, 0) {
			return fmt.Errorf("--env %s holds a NUL byte, which no environment variable can", strings.ReplaceAll(v.Name, "\x00", "?"))
		}
	}
	if f.Message.DeduplicationField != "" || f.Message.Confidential {
		return errors.New("--message: deduplicationField and confidential are a QueueJob's alone")
	}
	if errs := f.Message.Validate(field.NewPath("message")); len(errs) > 0 {
		return errors.New(errs[0].Error())
	}
	return nil
}
