package crash

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processesSeen: marked sees what runs.
const processesSeen = true

// process is one process of this machine; its start time tells it from a later
// one with the same number.
type process struct {
	pid   int
	start string
}

// marked are the living processes that have the variable in the environment
// they were started with: jobs and what they started, whatever session it is in.
func marked(variable string) map[process]string {
	found := map[process]string{}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range entries {
		environ, err := os.ReadFile(dir + "/environ")
		if err != nil || !bytes.Contains(environ, []byte(variable+"\x00")) {
			continue
		}
		if p, ok := look(dir); ok {
			command, _ := os.ReadFile(dir + "/cmdline")
			found[p] = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
	return found
}

// alive tells whether p still is that process, and not a zombie.
func alive(p process) bool {
	now, ok := look("/proc/" + strconv.Itoa(p.pid))
	return ok && now == p
}

// look reads a process's stat (proc(5)): the state is the third field and the
// start time, in ticks since boot, the 22nd. A zombie is no process any more.
func look(dir string) (process, bool) {
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return process{}, false
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	pid, err := strconv.Atoi(filepath.Base(dir))
	return process{pid, fields[19]}, err == nil
}
