package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// launchBatch is how many runs are forked before the loop looks at what
	// ended meanwhile.
	launchBatch = 4

	// orphanCheck is how often orphans are reaped while jobs run and nothing
	// else happens.
	orphanCheck = time.Second

	// lingerLimit is how long a run's end waits for its killed descendants: one
	// that hangs in the kernel must not hide how the job ended.
	lingerLimit = time.Second

	// retryPause is how long a start waits when the machine has no room for it.
	retryPause = 100 * time.Millisecond
)

// server is the loop and all it knows. Nothing else runs beside it.
type server struct {
	conn    int
	config  Config
	poll    *poller
	journal *journal
	devNull int

	in     []byte // received, not yet a whole frame
	out    []byte // to be sent
	waking bool   // the poller tells when the socket takes more

	starts   []Start   // asked for and not yet forked
	held     time.Time // no forks before then
	runs     map[RunID]*child
	pids     map[int]*child
	ending   []*child       // main process gone, not yet told
	orphans  map[int]RunID  // adopted, by pid; the zero ID when unknown whose
	followed map[RunID]bool // the controller wants to hear of their output

	deadlines deadlines
	exits     bool // some process may have ended
	gone      bool // the controller has
	buf       [64 << 10]byte
}

// run is a supervisor's life: until the controller closes its end of conn.
func run(conn int) error {
	if err := becomeSubreaper(); err != nil {
		return err
	}
	config, rest, err := readConfig(conn)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if err := os.Chdir(config.Dir); err != nil {
		return err
	}
	s := &server{
		conn: conn, config: config, in: rest,
		followed: make(map[RunID]bool), runs: make(map[RunID]*child), pids: make(map[int]*child), orphans: make(map[int]RunID),
	}
	if s.devNull, err = unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	if s.journal, err = openJournal(config.Dir, config.Generation, nil); err != nil {
		return err
	}
	if s.poll, err = newPoller(); err != nil {
		return err
	}
	if err := errors.Join(unix.SetNonblock(conn, true), s.poll.add(conn, kindOfConn)); err != nil {
		return err
	}
	s.out = appendNumber(s.out, kindHello, RunID{}, 0)
	s.parse()
	err = s.loop()
	s.endAll()
	return err
}

// readConfig reads the first frame; rest is what came behind it.
func readConfig(conn int) (c Config, rest []byte, err error) {
	var in []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(conn, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return c, nil, err
		case n == 0:
			return c, nil, io.ErrUnexpectedEOF
		}
		in = append(in, buf[:n]...)
		kind, body, rest, err := nextFrame(in)
		if err == errShort {
			continue
		}
		if err == nil && kind != kindConfig {
			err = errCorrupt
		}
		if err != nil {
			return c, nil, err
		}
		c, err = decodeConfig(body)
		return c, append([]byte(nil), rest...), err
	}
}

func (s *server) loop() error {
	for !s.gone {
		s.flush()
		if err := s.poll.wait(s.nextWait(), s.ready); err != nil {
			return fmt.Errorf("wait for events: %w", err)
		}
		if s.exits || len(s.orphans) > 0 || len(s.ending) > 0 {
			s.exits = false
			s.reap()
		}
		now := time.Now()
		s.fire(now)
		s.launch(now)
		s.report(now)
	}
	return nil
}

// nextWait is how long the loop may sleep; negative is without end.
func (s *server) nextWait() time.Duration {
	wait := time.Duration(-1)
	sooner := func(d time.Duration) {
		if wait < 0 || d < wait {
			wait = max(d, 0)
		}
	}
	now := time.Now()
	if len(s.runs) > 0 {
		sooner(orphanCheck)
		s.exits = true // reap orphans then, whoever wakes the loop
	}
	if len(s.ending) > 0 {
		sooner(5 * time.Millisecond)
	}
	if len(s.starts) > 0 {
		sooner(s.held.Sub(now))
	}
	if len(s.journal.pending) > 0 {
		sooner(retryPause)
	}
	if len(s.deadlines) > 0 {
		sooner(s.deadlines[0].at.Sub(now))
	}
	return wait
}

// ready handles one event of the poller.
func (s *server) ready(fd int, kind eventKind) {
	switch kind {
	case kindOfConn:
		s.receive()
	case kindOfExit:
		s.exits = true
	case kindOfOutput:
		if c := s.outputs(fd); c != nil {
			s.readOutput(c)
		}
	}
}

// receive takes what the controller sent.
func (s *server) receive() {
	for {
		n, err := unix.Read(s.conn, s.buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			s.gone = true
			return
		}
		s.in = append(s.in, s.buf[:n]...)
		s.parse()
		if n < len(s.buf) {
			return
		}
	}
}

func (s *server) parse() {
	rest := s.in
	for {
		kind, body, after, err := nextFrame(rest)
		if err == errShort {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "queuemill supervisor: from the controller:", err)
			s.gone = true
			return
		}
		rest = after
		s.command(kind, body)
	}
	if len(rest) == 0 && cap(s.in) > len(s.buf) {
		s.in = nil // a large one is not kept
		return
	}
	s.in = append(s.in[:0], rest...)
}

func (s *server) command(kind byte, body []byte) {
	switch kind {
	case kindStart:
		if start, err := decodeStart(body); err == nil {
			s.starts = append(s.starts, start)
		}
	case kindStop:
		if id, grace, err := decodeNumber(body); err == nil {
			s.stop(id, time.Duration(grace))
		}
	case kindFollow:
		if id, on, err := decodeNumber(body); err == nil {
			s.follow(id, on != 0)
		}
	}
}

// flush writes the journal first, then tells the controller. When the journal
// can't be written nothing is told: it is tried again at the next turn.
func (s *server) flush() {
	if s.journal.flush() != nil {
		return
	}
	if s.journal.size > rotateSize {
		s.rotate()
	}
	for len(s.out) > 0 && !s.gone {
		n, err := unix.Write(s.conn, s.out)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			s.wakeOnWritable(true)
			return
		case err != nil:
			s.gone = true
		default:
			s.out = s.out[:copy(s.out, s.out[n:])]
		}
	}
	s.wakeOnWritable(false)
	if cap(s.out) > 1<<20 {
		s.out = nil
	}
}

func (s *server) wakeOnWritable(on bool) {
	if s.waking != on {
		s.waking = on
		s.poll.writable(s.conn, on)
	}
}

// rotate begins the next file of the journal and says so; the controller
// removes the earlier ones. What can't be begun now is at the next turn.
func (s *server) rotate() {
	var running []byte
	for id, c := range s.runs {
		running = appendStarted(running, id, c.startedAt)
	}
	next, err := openJournal(s.journal.dir, s.journal.generation+1, running)
	if err != nil {
		_ = os.Remove(filepath.Clean(journalPath(s.journal.dir, s.journal.generation+1)))
		return
	}
	_ = s.journal.file.Close() // every write is out
	s.journal = next
	s.out = appendNumber(s.out, kindRotated, RunID{}, int64(next.generation))
}
