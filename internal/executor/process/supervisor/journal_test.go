package supervisor

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	one = RunID{UID: 0xfedcba9876543210, Attempt: 1}
	two = RunID{UID: 2, Attempt: 17}
	at  = time.Unix(1_700_000_000, 123456789)
)

func exitOf(id RunID) Exit {
	return Exit{
		ID: id, StartedAt: at, FinishedAt: at.Add(time.Second), Code: -1, Signal: 9, TimedOut: true, Stopped: true,
		PeakMemory: 1 << 40, LogSize: 1 << 33, StartError: "no such program",
	}
}

func newJournalDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(journalDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeJournal writes one file with both starts and the end of the first.
func writeJournal(t *testing.T, dir string, generation uint64) {
	t.Helper()
	j, err := openJournal(dir, generation, nil)
	if err != nil {
		t.Fatal(err)
	}
	j.started(one, at)
	j.started(two, at)
	x := exitOf(one)
	j.ended(&x)
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
}

func readHistory(t *testing.T, dir string) *History {
	t.Helper()
	h, err := ReadHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHistoryIsWhatTheJournalSays(t *testing.T) {
	dir := newJournalDir(t)
	writeJournal(t, dir, 7)
	h := readHistory(t, dir)
	if !h.Complete || !h.Started[one].Equal(at) || !h.Started[two].Equal(at) || len(h.Started) != 2 || len(h.Exits) != 1 {
		t.Errorf("read %+v", h)
	}
	if diff := cmp.Diff(exitOf(one), h.Exits[one]); diff != "" {
		t.Errorf("end (-written +read):\n%s", diff)
	}
	if h.NextGeneration() != 8 {
		t.Errorf("next generation %d, want 8", h.NextGeneration())
	}
	if err := RemoveHistory(dir, 8); err != nil {
		t.Fatal(err)
	}
	if h := readHistory(t, dir); h.Complete || len(h.Started) != 0 || h.NextGeneration() != 1 {
		t.Errorf("after its removal read %+v", h)
	}
}

// A supervisor that is killed while it writes leaves any part of a file.
func TestATornJournalCountsUpToTheTear(t *testing.T) {
	dir := newJournalDir(t)
	writeJournal(t, dir, 1)
	whole, err := os.ReadFile(journalPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	for size := range whole {
		h := &History{Started: make(map[RunID]time.Time), Exits: make(map[RunID]Exit)}
		h.Complete = h.read(whole[:size])
		if len(h.Exits) > 0 || len(h.Started) > 2 || h.Complete && size < frameHeader {
			t.Fatalf("of %d bytes of %d read %+v", size, len(whole), h)
		}
	}
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x40
		h := &History{Started: make(map[RunID]time.Time), Exits: make(map[RunID]Exit)}
		h.read(damaged)
		if len(h.Exits) > 0 && cmp.Diff(exitOf(one), h.Exits[one]) != "" {
			t.Fatalf("with byte %d damaged read %+v", at, h.Exits)
		}
	}
}

func TestAJournalOfAnotherBootIsNotComplete(t *testing.T) {
	dir := newJournalDir(t)
	frame, start := beginFrame(nil, kindBoot)
	frame = endFrame(appendString(frame, "another boot"), start)
	frame = appendStarted(frame, one, at)
	if err := os.WriteFile(journalPath(dir, 1), frame, 0o600); err != nil {
		t.Fatal(err)
	}
	if h := readHistory(t, dir); h.Complete || len(h.Started) != 1 {
		t.Errorf("read %+v", h)
	}
	writeJournal(t, dir, 2)
	if h := readHistory(t, dir); !h.Complete || len(h.Started) != 2 {
		t.Errorf("with a newer one read %+v", h)
	}
}

func TestARotatedJournalCarriesOverWhatRuns(t *testing.T) {
	dir := newJournalDir(t)
	j, err := openJournal(dir, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{journal: j, runs: map[RunID]*child{two: {id: two, startedAt: at}}}
	s.rotate()
	if s.journal.generation != 2 || len(s.out) == 0 {
		t.Fatalf("generation %d after the rotation, %d bytes told", s.journal.generation, len(s.out))
	}
	kind, body, _, err := nextFrame(s.out)
	if _, generation, _ := decodeNumber(body); err != nil || kind != kindRotated || generation != 2 {
		t.Errorf("told %c %d (%v)", kind, generation, err)
	}
	if err := RemoveHistory(dir, 2); err != nil {
		t.Fatal(err)
	}
	if h := readHistory(t, dir); !h.Complete || len(h.Started) != 1 || !h.Started[two].Equal(at) {
		t.Errorf("read %+v", h)
	}
}

func TestStartsAndConfigurationsArriveAsSent(t *testing.T) {
	start := Start{
		ID: one, Path: "/bin/x", Argv: []string{"x", "", "\xff\n"}, Env: []string{"A=b"}, Dir: "/tmp",
		Timeout: time.Hour, Grace: time.Second, LogLimit: 10,
	}
	config := Config{Dir: "/data", Marker: "m", Generation: 3}
	b := appendConfig(appendStart(nil, &start), config)
	_, body, rest, err := nextFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	gotStart, err := decodeStart(body)
	if diff := cmp.Diff(start, gotStart); diff != "" || err != nil {
		t.Errorf("start %v (-sent +arrived):\n%s", err, diff)
	}
	_, body, rest, err = nextFrame(rest)
	if err != nil || len(rest) > 0 {
		t.Fatal(err)
	}
	if got, err := decodeConfig(body); got != config || err != nil {
		t.Errorf("configuration %+v (%v)", got, err)
	}
}

func FuzzFrames(f *testing.F) {
	x := exitOf(one)
	f.Add(appendExit(nil, &x))
	f.Add(appendStart(nil, &Start{ID: two, Argv: []string{"a"}, Env: []string{"b"}}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		h := &History{Started: make(map[RunID]time.Time), Exits: make(map[RunID]Exit)}
		h.read(data)
		for _, decode := range []func([]byte){
			func(b []byte) { _, _ = decodeStart(b) }, func(b []byte) { _, _ = decodeExit(b) },
			func(b []byte) { _, _ = decodeConfig(b) }, func(b []byte) { _, _, _ = decodeNumber(b) },
		} {
			decode(data)
		}
	})
}

func TestOutputIsReadBackWhateverTheChunks(t *testing.T) {
	text := make([]byte, 5000)
	for i := range text {
		text[i] = 'a' + byte(i/7%26)
	}
	for _, limit := range []int64{1, 2, 3, 10, 999, 1000, 4999, 5000, 5001} {
		for _, chunk := range []int{1, 7, 500, 5000} {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
				t.Fatal(err)
			}
			o := output{path: LogPath(dir, one), limit: limit, fd: -1}
			for rest := text; len(rest) > 0; {
				n := min(chunk, len(rest))
				o.write(rest[:n])
				rest = rest[n:]
			}
			o.close()
			want := text
			if int64(len(text)) > limit {
				note := "\n[queuemill: " + itoa(int64(len(text))-limit) + " bytes of output left out here]\n"
				want = append(append(bytes.Clone(text[:limit/2]), note...), text[int64(len(text))-(limit-limit/2):]...)
			}
			r := OpenLog(dir, one)
			got := readAll(t, r)
			if !bytes.Equal(got, want) || o.err != nil {
				t.Errorf("limit %d, chunks of %d: read %d bytes, want %d (%v)", limit, chunk, len(got), len(want), o.err)
			}
			if size := LogSize(dir, one); size != int64(len(text)) {
				t.Errorf("limit %d: size %d, want %d", limit, size, len(text))
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
