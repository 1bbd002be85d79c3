package main

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server in a process of its own.
type process struct {
	cmd *exec.Cmd
	sqs string // host:port
	api string // URL, of queuemill
	dir string // of its data, of queuemill
}

// kill ends it with SIGKILL and waits for that.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()         // by a signal
}

// stop is Ctrl-C, so that a pool's workers end too.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone
	ended := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer ended.Stop()
	_ = p.cmd.Wait() // with whatever exit code
}

func (p *process) queueURL(name string) string { return "http://" + p.sqs + "/000000000000/" + name }

var (
	sqsLine = regexp.MustCompile(`SQS endpoint\s+http://(\S+)`)
	apiLine = regexp.MustCompile(`HTTP API\s+(http://\S+)`)
)

// up starts queuemill with its data in dir, and returns when it says where it
// listens, and how long that took.
func (b *bench) up(ctx context.Context, dir string, args ...string) (*process, time.Duration, error) {
	args = append([]string{"up", "--data", dir, "--listen", "127.0.0.1:0", "--sqs-listen", "127.0.0.1:0", "--log-level", "error"}, args...)
	p := &process{cmd: exec.CommandContext(ctx, b.binary, args...), dir: dir}
	p.cmd.Dir = b.dir
	read, write, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	start := time.Now()
	err = p.cmd.Start()
	write.Close()
	if err != nil {
		return nil, 0, err
	}
	var said strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if m := sqsLine.FindStringSubmatch(lines.Text()); m != nil {
			p.sqs = m[1]
		}
		if m := apiLine.FindStringSubmatch(lines.Text()); m != nil {
			p.api = m[1]
		}
		if p.sqs != "" && p.api != "" {
			go func() {
				io.Copy(io.Discard, read) //nolint:errcheck // so that it can go on talking
				read.Close()
			}()
			return p, time.Since(start), nil
		}
	}
	p.kill()
	return nil, 0, fmt.Errorf("%s does not say where it listens:\n%s", p.cmd, said.String())
}

// tree are a process and its descendants.
func tree(pid int) []int {
	all := []int{pid}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range children {
		data, _ := os.ReadFile(file)
		for _, child := range strings.Fields(string(data)) {
			if id, err := strconv.Atoi(child); err == nil {
				all = append(all, tree(id)...)
			}
		}
	}
	return all
}

// memory is what a process and its descendants have in memory, in MiB. They are
// one binary, whose pages they share: of the descendants only what is their own
// is added. (Pss would share them with every other queuemill of the machine too.)
func memory(pid int) (float64, error) {
	total := 0.0
	for _, id := range tree(pid) {
		field := "RssAnon"
		if id == pid {
			field = "VmRSS"
		}
		kib, err := kibField(fmt.Sprintf("/proc/%d/status", id), field)
		if err != nil {
			return 0, err
		}
		total += kib / 1024
	}
	return total, nil
}

// kibField is a field of a file in /proc that counts in kB.
func kibField(file, field string) (float64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB`).FindSubmatch(data)
	if m == nil {
		return 0, fmt.Errorf("no %s in %s", field, file)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// cpu is how long the threads of a process and its descendants have run.
func cpu(pid int) (total time.Duration, err error) {
	for _, id := range tree(pid) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", id))
		if err != nil || len(threads) == 0 {
			return 0, fmt.Errorf("no threads of process %d in /proc", id)
		}
		for _, file := range threads {
			data, err := os.ReadFile(file)
			if err != nil {
				return 0, err
			}
			nanoseconds, _, _ := strings.Cut(string(data), " ")
			n, err := strconv.ParseInt(nanoseconds, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			total += time.Duration(n)
		}
	}
	return total, nil
}

// ownCPU is how long this process has run.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const doNothingArg = "-do-nothing-server"

// startNothing starts this program again as the server that does nothing.
func startNothing(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, doNothingArg)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	p.sqs = strings.TrimSpace(line)
	return p, err
}

// doNothing is a net/http server that reads sends and answers them with the
// same bytes each time: what is left when a queue costs nothing.
func doNothing() error {
	sum := md5.Sum([]byte(payload))
	one := `"MessageId":"b0e9a1c2-0000-4000-8000-000000000000","MD5OfMessageBody":"` + hex.EncodeToString(sum[:]) + `"`
	batch := make([]string, 10)
	for i := range batch {
		batch[i] = `{"Id":"` + strconv.Itoa(i) + `",` + one + `}`
	}
	answers := map[string][]byte{
		"AmazonSQS.SendMessage":      []byte("{" + one + "}"),
		"AmazonSQS.SendMessageBatch": []byte(`{"Successful":[` + strings.Join(batch, ",") + `]}`),
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // of this machine's own client
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header()["Content-Type"] = []string{"application/x-amz-json-1.0"}
		w.Write(answers[r.Header.Get("X-Amz-Target")]) //nolint:errcheck // the client went
	}))
}
