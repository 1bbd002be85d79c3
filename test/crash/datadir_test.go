package crash

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/store"
	"github.com/queuemill/queuemill/test/mill"
)

// nobody has no rights of his own, on Debian and on macOS alike.
const nobody = 65534

// TestDataDirectory runs the real binary on data directories that it can't use:
// it ends at once, with exit code 1 and an error that says what, where and what
// to do next, and changes nothing.
func TestDataDirectory(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, data string, o *mill.Options) []string{
		"a file": func(t *testing.T, data string, _ *mill.Options) []string {
			write(t, data, "not a directory")
			return []string{"is not a directory", "--data"}
		},
		"read-only": func(t *testing.T, data string, o *mill.Options) []string {
			if err := os.Mkdir(data, 0o555); err != nil {
				t.Fatal(err)
			}
			if os.Getuid() == 0 { // whom no mode keeps out
				o.As = &syscall.Credential{Uid: nobody, Gid: nobody}
			}
			return []string{"is not writable", "--data"}
		},
		"of a newer version": func(t *testing.T, data string, _ *mill.Options) []string {
			markNewer(t, data)
			return []string{"newer version", "--data"}
		},
		"in use": func(t *testing.T, data string, o *mill.Options) []string {
			first := mill.Start(t, mill.Options{Binary: binary, Data: data, Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t)})
			first.WaitReady(t)
			return []string{fmt.Sprintf("in use by process %d", first.Pid), "queuemill up", "--data"}
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(openFolder(t), "data")
			o := mill.Options{Binary: binary, Data: data, Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t)}
			want := append(prepare(t, data, &o), data)
			up := mill.Start(t, o)
			if code := up.Wait(t, 20*time.Second); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			for _, part := range want {
				if !strings.Contains(up.Log(), part) {
					t.Errorf("the error does not say %q:\n%s", part, up.Log())
				}
			}
		})
	}
}

// openFolder is a temporary folder that every user can reach.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "queuemill-crash-") //nolint:usetesting // t.TempDir is for its owner only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// markNewer makes a data directory whose format nobody knows yet.
func markNewer(t *testing.T, data string) {
	t.Helper()
	db, err := store.Open(data, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	format := append([]byte{store.SpaceMeta}, "format"...)
	if _, closer, err := db.Pebble().Get(format); err != nil {
		t.Fatalf("the format mark is not where this test looks for it: %v", err)
	} else if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Pebble().Set(format, []byte{0, 0, 0xff, 0xff}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// smallDisk is a command that runs its arguments where folder is a disk of 192
// MiB, which ends with it.
func smallDisk(folder string) []string {
	return []string{"unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=192m none "$0" && exec "$@"`, folder}
}

// TestDiskFull fills the disk under the data directory: sends are refused and
// say so, everything answered is delivered, and once there is room again sends
// go on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	disk := filepath.Join(folder, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if !canMount(disk) {
		t.Fatal("a small disk is needed, and neither root nor a user namespace may mount one here: " +
			"run the tests as root, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)")
	}
	o := mill.Options{
		Binary: binary, Data: filepath.Join(disk, "data"),
		Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t), Wrap: smallDisk(disk),
	}
	up := mill.Start(t, o)
	up.WaitReady(t)
	client := newClient(up.SQSURL)
	url := createQueue(t, client, "full", nil)

	answered := &sent{ids: map[string]string{}}
	var refused error
	for i := 0; refused == nil && i < 1000; i++ {
		body := fmt.Sprintf("%d %s", i, noise(250_000))
		out, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
		if refused = err; err == nil {
			answered.answered(body, *out.MessageId)
		}
	}
	if refused == nil {
		t.Fatal("500 MB fit on a disk of 192 MiB")
	}
	if !strings.Contains(refused.Error(), "full") {
		t.Errorf("the refusal does not say that the disk is full: %v", refused)
	}
	t.Logf("%d messages of 500 KB fitted, then: %v", len(answered.ids), refused)
	checkDelivered(t, answered, drain(t, client, url))

	begin := time.Now()
	err := mill.Poll(t.Context(), 2*time.Minute, func() (bool, error) {
		body := "after"
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
		return err == nil, nil
	})
	if err != nil {
		t.Errorf("sends do not go on after everything was deleted: %v\n%s", err, tail(up.Log()))
	}
	t.Logf("sends go on %v after everything was deleted", time.Since(begin).Round(time.Millisecond))
}

// noise is text of two characters for each byte that does not compress well.
func noise(bytes int) string {
	data := make([]byte, bytes)
	_, _ = rand.Read(data) // never fails
	return hex.EncodeToString(data)
}

func canMount(folder string) bool {
	line := append(smallDisk(folder), "true")
	return exec.Command(line[0], line[1:]...).Run() == nil
}
