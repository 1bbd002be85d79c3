package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/nearest"
)

// What stands before a name to say of which kind it is, as with kubectl.
const (
	poolPrefix     = "workerpool/"
	queueJobPrefix = "queuejob/"
)

// isPool tells of every word for a kind, kubectl's plurals and short names too,
// whether it is a WorkerPool's.
var isPool = map[string]bool{
	"queuejob": false, "queuejobs": false, "qj": false,
	"workerpool": true, "workerpools": true, "wp": true,
}

// object is a QueueJob or a WorkerPool that a person named.
type object struct {
	name string
	pool bool
}

// directory finds what names mean. It asks for the lists once, and only when a
// name does not say its kind.
type directory struct {
	client *client.Client

	loaded    bool
	queueJobs []string
	pools     []string
	err       error // why one of the lists is not known; the other may be
}

// find is what arg means: kind/name, or the name of one QueueJob or WorkerPool.
func (d *directory) find(ctx context.Context, arg string) (object, error) {
	if kind, name, ok := strings.Cut(arg, "/"); ok {
		pool, known := isPool[strings.ToLower(kind)]
		if !known || name == "" || strings.Contains(name, "/") {
			return object{}, usagef("write queuejob/NAME or workerpool/NAME", "%q names no QueueJob and no WorkerPool", arg)
		}
		return object{name, pool}, nil
	}
	d.load(ctx)
	isQueueJob, isPool := slices.Contains(d.queueJobs, arg), slices.Contains(d.pools, arg)
	switch {
	case isQueueJob && isPool:
		return object{}, usagef("write "+queueJobPrefix+arg+" or "+poolPrefix+arg, "%s may be the QueueJob or the WorkerPool of that name", arg)
	case isQueueJob || isPool:
		return object{arg, isPool}, nil
	case d.err != nil: // it may be among those that can't be seen
		return object{}, d.err
	}
	hint := "queuemill status lists them"
	if meant := nearest.To(arg, slices.Concat(d.queueJobs, d.pools)); meant != "" {
		hint = "did you mean " + meant + "? " + hint
	}
	return object{}, notFoundf(hint, "there is no QueueJob and no WorkerPool %q", arg)
}

// offers are what may be typed for each object: its name, and with its kind where
// the name alone does not say which is meant, or a kind was typed already.
func (d *directory) offers(ctx context.Context, typed string) ([]string, error) {
	d.load(ctx)
	if len(d.queueJobs)+len(d.pools) == 0 {
		return nil, d.err
	}
	var all []string
	add := func(names, others []string, prefix, about string) {
		for _, name := range names {
			if strings.Contains(typed, "/") || slices.Contains(others, name) {
				name = prefix + name
			}
			all = append(all, name+about)
		}
	}
	add(d.queueJobs, d.pools, queueJobPrefix, "")
	add(d.pools, d.queueJobs, poolPrefix, "\tWorkerPool")
	return all, nil
}

func (d *directory) load(ctx context.Context) {
	if d.loaded {
		return
	}
	d.loaded = true
	queueJobs, err := d.client.QueueJobs(ctx)
	for i := range queueJobs {
		d.queueJobs = append(d.queueJobs, queueJobs[i].Name)
	}
	pools, poolsErr := d.client.WorkerPools(ctx)
	for i := range pools {
		d.pools = append(d.pools, pools[i].Name)
	}
	if d.err = err; err == nil {
		d.err = poolsErr
	}
}
