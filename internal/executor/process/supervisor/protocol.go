package supervisor

import (
	"encoding/binary"
	"fmt"
	"time"
)

// RunID names one attempt: the UID of its record and its number. No two runs of
// a data directory have the same.
type RunID struct {
	UID     uint64
	Attempt uint32
}

// String is the ID as file names and the marker in a run's environment have it.
func (id RunID) String() string { return fmt.Sprintf("%016x-%d", id.UID, id.Attempt) }

// Kinds of frames. Those of the journal are sent over the socket too.
const (
	kindConfig  = 'c' // to the supervisor: Config, the first frame
	kindStart   = 's' // to the supervisor: Start
	kindStop    = 't' // to the supervisor: RunID, grace
	kindFollow  = 'f' // to the supervisor: RunID, 1 to begin and 0 to end
	kindHello   = 'h' // to the controller: it is up
	kindStarted = 'S' // to the controller and journal: RunID, time
	kindExit    = 'E' // to the controller and journal: Exit
	kindGrew    = 'G' // to the controller: RunID, bytes of output so far
	kindRotated = 'R' // to the controller: generation of the journal from now on
	kindBoot    = 'B' // journal, first: boot ID of the machine
)

// Config is what a supervisor is told first.
type Config struct {
	Dir        string // of the executor, absolute; logs and journal are in it
	Marker     string // names Dir in the environment of every run
	Generation uint64 // of the journal to write
}

// Start asks for one run.
type Start struct {
	ID       RunID
	Path     string // of the program; relative to Dir unless absolute
	Argv     []string
	Env      []string      // all of it, the marker included
	Dir      string        // where it starts
	Timeout  time.Duration // 0: none
	Grace    time.Duration // from SIGTERM to SIGKILL at the timeout
	LogLimit int64         // bytes of output kept
	Stdin    string        // file to read; empty: nothing
	Inherit  bool          // output goes where the supervisor's own goes; nothing is kept
}

// Exit tells how a run ended.
type Exit struct {
	ID         RunID
	StartedAt  time.Time
	FinishedAt time.Time
	Code       int    // exit code; -1 when a signal ended it or it never started
	Signal     int    // that ended it; 0: none
	TimedOut   bool   // SIGTERM was sent since its time was over
	Stopped    bool   // SIGTERM was sent since the controller asked
	PeakMemory int64  // of its largest process, bytes; 0: less than can be told
	LogSize    int64  // bytes of output, also those not kept
	StartError string // why it could not be started; it never ran then
	Lost       bool   // nobody saw it end; never in the journal
}

const (
	flagTimedOut = 1 << iota
	flagStopped
)

func appendID(b []byte, id RunID) []byte {
	b = binary.LittleEndian.AppendUint64(b, id.UID)
	return binary.AppendUvarint(b, uint64(id.Attempt))
}

func (d *decoder) id() RunID {
	if len(d.b) < 8 {
		d.fail()
		return RunID{}
	}
	uid := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return RunID{UID: uid, Attempt: uint32(d.uvarint())}
}

func appendConfig(b []byte, c Config) []byte {
	b, at := beginFrame(b, kindConfig)
	b = appendString(b, c.Dir)
	b = appendString(b, c.Marker)
	b = binary.AppendUvarint(b, c.Generation)
	return endFrame(b, at)
}

func decodeConfig(body []byte) (Config, error) {
	d := decoder{b: body}
	c := Config{Dir: d.string(), Marker: d.string(), Generation: d.uvarint()}
	return c, d.err
}

func appendStart(b []byte, s *Start) []byte {
	b, at := beginFrame(b, kindStart)
	b = appendID(b, s.ID)
	b = appendString(b, s.Path)
	b = appendStrings(b, s.Argv)
	b = appendStrings(b, s.Env)
	b = appendString(b, s.Dir)
	b = binary.AppendVarint(b, int64(s.Timeout))
	b = binary.AppendVarint(b, int64(s.Grace))
	b = binary.AppendVarint(b, s.LogLimit)
	b = appendString(b, s.Stdin)
	b = binary.AppendVarint(b, inherit(s.Inherit))
	return endFrame(b, at)
}

func decodeStart(body []byte) (Start, error) {
	d := decoder{b: body}
	s := Start{
		ID: d.id(), Path: d.string(), Argv: d.strings(), Env: d.strings(), Dir: d.string(),
		Timeout: time.Duration(d.varint()), Grace: time.Duration(d.varint()), LogLimit: d.varint(),
		Stdin: d.string(), Inherit: d.varint() != 0,
	}
	return s, d.err
}

func inherit(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// appendNumber is a frame of a run and a number: kindStop, kindFollow, kindGrew.
func appendNumber(b []byte, kind byte, id RunID, n int64) []byte {
	b, at := beginFrame(b, kind)
	b = appendID(b, id)
	b = binary.AppendVarint(b, n)
	return endFrame(b, at)
}

func decodeNumber(body []byte) (RunID, int64, error) {
	d := decoder{b: body}
	id, n := d.id(), d.varint()
	return id, n, d.err
}

func appendStarted(b []byte, id RunID, at time.Time) []byte {
	b, start := beginFrame(b, kindStarted)
	b = appendID(b, id)
	b = appendTime(b, at)
	return endFrame(b, start)
}

func decodeStarted(body []byte) (RunID, time.Time, error) {
	d := decoder{b: body}
	id, at := d.id(), d.time()
	return id, at, d.err
}

func appendExit(b []byte, x *Exit) []byte {
	b, at := beginFrame(b, kindExit)
	b = appendID(b, x.ID)
	b = appendTime(b, x.StartedAt)
	b = appendTime(b, x.FinishedAt)
	b = binary.AppendVarint(b, int64(x.Code))
	b = binary.AppendVarint(b, int64(x.Signal))
	var flags uint64
	if x.TimedOut {
		flags |= flagTimedOut
	}
	if x.Stopped {
		flags |= flagStopped
	}
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendVarint(b, x.PeakMemory)
	b = binary.AppendVarint(b, x.LogSize)
	b = appendString(b, x.StartError)
	return endFrame(b, at)
}

func decodeExit(body []byte) (Exit, error) {
	d := decoder{b: body}
	x := Exit{
		ID: d.id(), StartedAt: d.time(), FinishedAt: d.time(),
		Code: int(d.varint()), Signal: int(d.varint()),
	}
	flags := d.uvarint()
	x.TimedOut, x.Stopped = flags&flagTimedOut != 0, flags&flagStopped != 0
	x.PeakMemory, x.LogSize, x.StartError = d.varint(), d.varint(), d.string()
	return x, d.err
}
