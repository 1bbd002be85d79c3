// Command queuemill turns the messages of a queue into finished jobs.
package main

import (
	"os"
	"os/signal"
	"syscall"

	// The roots of Mozilla, used where the system has none: in the image there
	// is nothing but this program.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/queuemill/queuemill/internal/cli"
	"github.com/queuemill/queuemill/internal/executor/process"
)

// version is set when a release is built.
var version = "dev"

func main() {
	process.SupervisorMain() // does not return where this is the supervisor
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Signals: signals, Version: version, Name: os.Args[0],
	}))
}
