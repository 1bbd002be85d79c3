// Command locker is what a job of the end-to-end test runs: it locks its
// message's file in a folder that all nodes share, and writes to a log there
// when it starts and when it succeeds. The lock is the kernel's and goes with
// the process, however that ends. Who finds it taken writes that down.
//
//	locker FOLDER FAILURES     the attempts up to FAILURES fail
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// work is how long an attempt takes: long enough for a kill or a drain to meet
// it.
const work = 2 * time.Second

func main() {
	if err := run(os.Args[1], os.Args[2], os.Getenv("QUEUEMILL_MESSAGE_ID"), os.Getenv("QUEUEMILL_ATTEMPT")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder, failures, message, attempt string) error {
	lock, err := os.OpenFile(filepath.Join(folder, message+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	line := message + " " + attempt + "\n"
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return note(folder, "overlaps", line)
	}
	if err := note(folder, "log", "start "+line); err != nil {
		return err
	}
	<-time.After(work)
	n, err := strconv.Atoi(attempt)
	if err != nil {
		return err
	}
	fail, err := strconv.Atoi(failures)
	if err != nil {
		return err
	}
	if n <= fail {
		return fmt.Errorf("attempt %d fails, as asked", n)
	}
	return note(folder, "log", "success "+line)
}

// note appends a line in one write, which others' lines don't get into.
func note(folder, file, line string) error {
	f, err := os.OpenFile(filepath.Join(folder, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Close()
}
