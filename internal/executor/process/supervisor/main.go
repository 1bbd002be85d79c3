package supervisor

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the controller hands to the process it starts as its supervisor.
const (
	envKey = "QUEUEMILL_SUPERVISOR" // set: be one
	connFD = 3                      // socket to the controller
	lockFD = 4                      // holds the lock of the directory until it closes
)

// Env is the environment a supervisor is started with: it needs nothing of the
// controller's, and little memory. Jobs inherit none of it.
func Env() []string {
	return []string{envKey + "=1", "GOMAXPROCS=1", "GOGC=50", "GOTRACEBACK=all"}
}

// The main goroutine stays on the main thread, the one that forks: whatever
// starts that thread's death starts the process's.
func init() {
	if os.Getenv(envKey) != "" {
		runtime.LockOSThread()
	}
}

// Main is the first thing in main (and in TestMain): in a process that was
// started as a supervisor it runs it and exits, else it returns at once.
func Main() {
	if os.Getenv(envKey) == "" {
		return
	}
	// A Ctrl-C in the terminal and a service manager's SIGTERM are for the
	// controller to act on. They are caught and not ignored: what is ignored
	// would be ignored in the jobs too.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	syscall.CloseOnExec(connFD)
	syscall.CloseOnExec(lockFD)
	if err := run(connFD); err != nil {
		fmt.Fprintln(os.Stderr, "queuemill supervisor:", err)
		syscall.Exit(1)
	}
	syscall.Exit(0) // at once: nothing is buffered
}
