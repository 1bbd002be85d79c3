package pools

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// run is one run of a message's work, as the outside log tells it.
type run struct {
	message, attempt, pid int
	start, end            time.Time // end is zero: it has none
}

func (r run) String() string {
	end := "no end"
	if !r.end.IsZero() {
		end = "end " + stamp(r.end)
	}
	return fmt.Sprintf("pid %d, attempt %d: start %s, %s", r.pid, r.attempt, stamp(r.start), end)
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// outside is the outside log, read on as it grows. Each line of it is
//
//	start|end <message> <attempt> <pid> <ns since 1970> <message ID>
type outside struct {
	file    *os.File
	rest    string // of a line whose end is not there yet
	runs    []run
	running map[[2]int]int // message and pid, to the place in runs
}

func openOutside(path string) (*outside, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	return &outside{file: file, running: map[[2]int]int{}}, err
}

// read reads what came since.
func (o *outside) read() error {
	in := bufio.NewReader(o.file)
	for {
		line, err := in.ReadString('\n')
		o.rest += line
		if err != nil {
			return nil
		}
		if err := o.note(o.rest); err != nil {
			return err
		}
		o.rest = ""
	}
}

func (o *outside) note(line string) error {
	var what, id string
	var r run
	var at int64
	if _, err := fmt.Sscan(line, &what, &r.message, &r.attempt, &r.pid, &at, &id); err != nil {
		return fmt.Errorf("outside log: %q: %w", line, err)
	}
	key := [2]int{r.message, r.pid}
	i, running := o.running[key]
	switch {
	case what == "start":
		r.start = time.Unix(0, at)
		o.running[key] = len(o.runs)
		o.runs = append(o.runs, r)
	case what == "end" && running:
		o.runs[i].end = time.Unix(0, at)
		delete(o.running, key)
	default:
		return fmt.Errorf("outside log: an end without a start: %q", line)
	}
	return nil
}

// ended is how many runs have their end.
func (o *outside) ended() int { return len(o.runs) - len(o.running) }

// fault is what is wrong with one message.
type fault struct {
	message int
	what    string
	at      time.Time
}

// judge finds, of the messages 0 to sent-1: work that was cut short, messages
// that were lost, and messages that two workers had at the same time. Of those
// that ran again after an end it returns the number: that is what a queue may do
// whose answer to a delete was cut off.
func judge(sent int, runs []run) (faults []fault, again int) {
	byMessage := make([][]run, sent)
	for _, r := range runs {
		if r.message < 0 || r.message >= sent {
			faults = append(faults, fault{r.message, "was never sent: " + r.String(), r.start})
			continue
		}
		byMessage[r.message] = append(byMessage[r.message], r)
	}
	for message, runs := range byMessage {
		if len(runs) == 0 {
			faults = append(faults, fault{message, "was lost: it never ran", time.Time{}})
		}
		again += max(0, len(runs)-1)
		slices.SortFunc(runs, func(a, b run) int { return a.start.Compare(b.start) })
		for i, r := range runs {
			if r.end.IsZero() {
				faults = append(faults, fault{message, "was cut short: " + r.String(), r.start})
			}
			if i > 0 && (runs[i-1].end.IsZero() || r.start.Before(runs[i-1].end)) {
				faults = append(faults, fault{message, fmt.Sprintf("ran twice at the same time: %v; %v", runs[i-1], r), r.start})
			}
		}
	}
	slices.SortFunc(faults, func(a, b fault) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.message, b.message)) })
	return faults, again
}

func TestTheJudgeSeesWhatIsWrong(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	fine := run{message: 0, pid: 1, start: at(1), end: at(3)}
	for _, tc := range []struct {
		name  string
		runs  []run
		want  string // of the only fault; "": none
		again int
	}{
		{"all is well", []run{fine}, "", 0},
		{"never ran", nil, "was lost", 0},
		{"cut short", []run{{message: 0, pid: 1, start: at(1)}}, "was cut short", 0},
		{"at the same time", []run{{message: 0, pid: 2, start: at(2), end: at(4)}, fine}, "ran twice at the same time", 1},
		{"within the other", []run{{message: 0, pid: 2, start: at(2), end: at(2)}, fine}, "ran twice at the same time", 1},
		{"one after the other", []run{{message: 0, pid: 2, start: at(3), end: at(4)}, fine}, "", 1},
		{"not ours", []run{fine, {message: 1, start: at(1), end: at(2)}}, "was never sent", 0},
	} {
		faults, again := judge(1, tc.runs)
		if again != tc.again || len(faults) > 1 || (len(faults) == 1) != (tc.want != "") || len(faults) == 1 && !strings.HasPrefix(faults[0].what, tc.want) {
			t.Errorf("%s: %v, %d again", tc.name, faults, again)
		}
	}
}

func TestTheOutsideLogIsReadAsItGrows(t *testing.T) {
	path := t.TempDir() + "/log"
	o, err := openOutside(path)
	if err != nil {
		t.Fatal(err)
	}
	defer o.file.Close()
	log, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, step := range []struct {
		text           string
		started, ended int
	}{
		{"start 7 1 100 5000000000 id-7\nstart 8 2 1", 1, 0},
		{"01 6000000000 id-8\n", 2, 0},
		{"end 7 1 100 7000000000 id-7\nend 8 2 101 8000000000 id-8\nstart 7 2 100 9000000000 id-7\n", 3, 2},
	} {
		log.WriteString(step.text)
		if err := o.read(); err != nil {
			t.Fatal(err)
		}
		if len(o.runs) != step.started || o.ended() != step.ended {
			t.Errorf("after %q: %v", step.text, o.runs)
		}
	}
	if want := (run{8, 2, 101, time.Unix(6, 0), time.Unix(8, 0)}); o.runs[1] != want {
		t.Errorf("%v, want %v", o.runs[1], want)
	}
	log.WriteString("end 9 1 100 1 id-9\n")
	if err := o.read(); err == nil {
		t.Error("an end without a start")
	}
}
