package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/control"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

// This test's own program is the worker, and a controller that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "worker":
			if err := actWorker(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "worker:", err)
				os.Exit(3)
			}
			return
		case "controller":
			actController(os.Args[2])
			return
		}
	}
	os.Exit(m.Run())
}

// actor is a worker without a queue. What it does is its command:
//
//	idle          nothing is in hand but what the file ID.hold says
//	busy FILE     one message is in hand, until FILE is there
//	unready       it says that it can't work yet
//	crash         it ends at once
//	mute          it runs, but does not answer
//	stranger      it says that it is another worker
//	print WORD    idle, and WORD stands on its output
//	environ       idle, and its environment stands on its output
//	deaf          idle, and SIGTERM does not end it
type actor struct {
	id, mode, word string
	drain          chan bool
	draining       bool
}

func (a *actor) Report() fleet.Report {
	r := fleet.Report{ID: a.id}
	a.draining = <-a.drain
	a.drain <- a.draining
	r.Draining = a.draining
	if text, err := os.ReadFile(a.id + ".hold"); err == nil {
		r.InHand, _ = strconv.Atoi(string(text))
	}
	if a.mode == "busy" {
		if _, err := os.Stat(a.word); err != nil {
			r.InHand = 1
		} else {
			r.Done = 1
		}
	}
	return r
}

func (a *actor) Drain(on bool, _ int64) fleet.Report {
	<-a.drain
	a.drain <- on
	return a.Report()
}

func (a *actor) Healthy() error {
	if a.mode == "unready" {
		return errors.New("the server does not accept yet")
	}
	return nil
}

func actWorker(args []string) error {
	f := flags.Defaults()
	fs := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	f.Register(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	a := &actor{id: os.Getenv(flags.IDEnv), mode: fs.Arg(0), word: fs.Arg(1), drain: make(chan bool, 1)}
	a.drain <- os.Getenv(flags.HeldEnv) != ""
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	switch a.mode {
	case "crash":
		return errors.New("nothing works here")
	case "stranger":
		a.id = "another"
	case "print":
		fmt.Fprintln(os.Stdout, a.word)
	case "environ":
		fmt.Fprintln(os.Stdout, strings.Join(os.Environ(), "\n"))
	}
	if a.mode != "mute" {
		l, err := control.Listen(f.Control)
		if err != nil {
			return err
		}
		go http.Serve(l, control.Handler(a, os.Getenv(flags.TokenEnv), nil)) // ends with the process
	}
	for {
		<-term
		if a.mode != "deaf" {
			break
		}
	}
	return nil
}

// actController starts two workers in dir and waits to be killed.
func actController(dir string) {
	f, err := Open(Options{Dir: dir})
	if err == nil {
		err = f.Start(context.Background(), poolOf("busy", "release"), 2)
	}
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "started")
	select {}
}
