package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// load runs do on every connection, again and again, and returns how often it
// was done per second. It ends after d or, when that is 0, when more says so.
func load(conns []conn, d time.Duration, more func() bool, do func(conn) (n int, err error)) (float64, error) {
	var (
		wg     sync.WaitGroup
		total  atomic.Int64
		failed atomic.Bool
		mu     sync.Mutex
		errs   []error
	)
	start := time.Now()
	for _, c := range conns {
		wg.Go(func() {
			for !failed.Load() && (d > 0 && time.Since(start) < d || d == 0 && more()) {
				n, err := do(c)
				if err != nil {
					failed.Store(true)
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					return
				}
				total.Add(int64(n))
			}
		})
	}
	wg.Wait()
	return float64(total.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

// openAll opens the connections of a load and uses each once, so that none
// starts cold.
func openAll(c client, address, queueURL string, warm func(conn) error) (conns []conn, err error) {
	for range connections {
		one, err := c.open(address, queueURL)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, one)
	}
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { errs[i] = warm(c) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []conn) {
	for _, c := range conns {
		c.close()
	}
}
