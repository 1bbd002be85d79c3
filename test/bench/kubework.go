package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// work is how long each part has run on a CPU: what a row costs on a machine
// that does other things besides.
type work map[string]time.Duration

// work of the control plane, the queue's server, a controller and this program,
// so far.
func (k *kube) work(c *controller) work {
	w := work{"this program": ownCPU()}
	pids := map[string]int{"queue": k.sqs.cmd.Process.Pid, "controller": c.cmd.Process.Pid}
	files, _ := filepath.Glob(filepath.Join(k.b.dir, "cluster", "run", "*.pid"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			pids[strings.TrimSuffix(filepath.Base(file), ".pid")] = pid
		}
	}
	for name, pid := range pids {
		if d, err := cpu(pid); err == nil {
			w[name] = d
		}
	}
	return w
}

func (w work) since(before work) work {
	spent := work{}
	for name, d := range w {
		spent[name] = d - before[name]
	}
	return spent
}

// each is the share of one of n.
func (w work) each(n int) string {
	var all []string
	total := time.Duration(0)
	for _, name := range slices.Sorted(maps.Keys(w)) {
		total += w[name]
		all = append(all, fmt.Sprintf("%s %.2f", name, milliseconds(w[name])/float64(n)))
	}
	return fmt.Sprintf("%s, in all %.2f ms", strings.Join(all, ", "), milliseconds(total)/float64(n))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

var requestLine = regexp.MustCompile(`(?m)^apiserver_request_total\{.*resource="(\w+)".*subresource="(\w*)".*verb="(POST|PUT|PATCH|DELETE|APPLY|GET|LIST)".*\} (\S+)$`)

// requests are what the API server has answered so far, by verb and resource.
func (k *kube) requests(ctx context.Context) map[string]float64 {
	all := map[string]float64{}
	text, err := k.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return all
	}
	for _, m := range requestLine.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseFloat(m[4], 64)
		if err != nil {
			continue
		}
		what := m[3] + " " + m[1]
		if m[2] != "" {
			what += "/" + m[2]
		}
		all[what] += n
	}
	return all
}

// requestsOf are those of some time that made up at least a hundredth of n.
func requestsOf(before, after map[string]float64, n int) string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(after)) {
		if d := after[what] - before[what]; d >= float64(n)/100 {
			all = append(all, fmt.Sprintf("%s %.2f", what, d/float64(n)))
		}
	}
	return strings.Join(all, ", ")
}
