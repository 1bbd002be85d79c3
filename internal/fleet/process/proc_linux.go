package process

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/queuemill/queuemill/internal/worker/flags"
)

// ownProgram is this very program, also when its file was replaced since.
func ownProgram() (string, error) { return "/proc/self/exe", nil }

var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(id))
})

// bornOf is the moment a process was born, as the boot and the clock ticks since
// then; empty: there is none of that number, or what is left of it waits for its
// parent.
func bornOf(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// pid (name) state … with the time as the 22nd field; the name may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return bootID() + " " + fields[19]
}

// findByID looks for the worker that was given an ID; 0: there is none.
func findByID(id string) (pid int, born string) {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0, ""
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read is what there is to go by
	want := []byte(flags.IDEnv + "=" + id)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		born := bornOf(pid)
		environ, err := os.ReadFile("/proc/" + name + "/environ")
		if err == nil && born != "" && bornOf(pid) == born && hasVariable(environ, want) {
			return pid, born
		}
	}
	return 0, ""
}

// hasVariable looks for NAME=value among those of environ, each ended by NUL.
func hasVariable(environ, want []byte) bool {
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(v, want) {
			return true
		}
	}
	return false
}
