// Command job is the work of the crash tests: it appends a line to the file
// CRASH_LOG when it starts and another one right before it ends, each with one
// write, so that the file tells from outside what ran.
//
//	start|end <message number> <attempt> <pid> <time, ns since 1970> <message ID>
//
// KIND says what it does in between: ok ends at once; fail ends with exit code
// 1; flaky does so in its first attempt; slow takes MS milliseconds; orphan does
// so too and leaves a process behind in a session of its own.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// orphanLife is how long an orphan lives when nobody ends it.
const orphanLife = 30 * time.Second

func main() {
	if len(os.Args) > 1 && os.Args[1] == "orphan" {
		time.Sleep(orphanLife)
		return
	}
	note("start")
	kind := os.Getenv("KIND")
	switch kind {
	case "ok", "fail", "flaky":
	case "orphan":
		child := exec.Command(os.Args[0], "orphan")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			fatal(err)
		}
		work()
	case "slow":
		work()
	default:
		fatal(fmt.Errorf("unknown kind %q", kind))
	}
	note("end")
	if kind == "fail" || kind == "flaky" && os.Getenv("QUEUEMILL_ATTEMPT") == "1" {
		os.Exit(1)
	}
}

func work() {
	ms, err := strconv.Atoi(os.Getenv("MS"))
	if err != nil {
		fatal(err)
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
}

func note(what string) {
	f, err := os.OpenFile(os.Getenv("CRASH_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fatal(err)
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s %s %s %d %d %s\n", what, os.Getenv("NUMBER"), os.Getenv("QUEUEMILL_ATTEMPT"),
		os.Getpid(), time.Now().UnixNano(), os.Getenv("QUEUEMILL_MESSAGE_ID"))
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "job:", err)
	os.Exit(70)
}
