package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/message"
)

// sendFlags say what is sent.
type sendFlags struct {
	file      string
	fromLine  int
	envelope  bool
	count     int
	attrs     []string
	delay     time.Duration
	group     string
	dedup     string
	create    bool
	attribute map[string]message.Attribute // of attrs
}

func (p *program) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send QUEUE [BODY… | -]",
		Short: "Send messages to a queue",
		Long: `Send messages to a queue: each BODY is one message, - is one message read from
stdin.

With --file each line of a file (- is stdin) is one message, sent as it stands;
empty lines are left out. Lines of a file called .ndjson or .jsonl must be JSON.
With --envelope a line is a JSON object instead: {"body": …} and, as wanted,
"attributes", "delaySeconds", "groupId", "deduplicationId".

A file is read through before anything is sent, so a bad line sends nothing.
When sending breaks off, the error says how many messages are in the queue and
the --from-line that goes on behind them.`,
		Example: `  queuemill send ping '{"target": "127.0.0.1", "duration": "2"}'
  queuemill send ping --file tasks.ndjson
  queuemill send ping --count 1000 '{"target": "127.0.0.1"}'
  queuemill send ping --attr tenant=acme --attr priority:Number=3 --delay 30s '{}'`,
		Args:              argsNamed("QUEUE", 1, -1),
		ValidArgsFunction: p.completeQueue(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args[1:]); err != nil {
				return err
			}
			source, err := p.openSource(&f, args[1:])
			if err != nil {
				return err
			}
			defer source.Close()
			c, err := p.connect()
			if err != nil {
				return err
			}
			if f.create {
				if err := c.CreateQueue(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			s := &sender{program: p, client: c, queue: args[0], flags: &f}
			err = s.run(cmd.Context(), source)
			if printErr := s.print(); err == nil {
				err = printErr
			}
			if err == nil && p.human() {
				p.sayUnread(cmd.Context(), c, args[0])
			}
			return err
		},
	}
	cmd.Flags().StringVar(&f.file, "file", "", "send each line of this `FILE`; - is stdin")
	cmd.Flags().IntVar(&f.fromLine, "from-line", 1, "with --file: begin with line `N`")
	cmd.Flags().BoolVar(&f.envelope, "envelope", false, "with --file: lines are objects with body, attributes, …")
	cmd.Flags().IntVar(&f.count, "count", 1, "send each message `N` times")
	cmd.Flags().StringArrayVar(&f.attrs, "attr", nil, "message attribute `NAME=VALUE` or NAME:TYPE=VALUE; may be repeated")
	cmd.Flags().DurationVar(&f.delay, "delay", 0, "time until the messages are visible, up to 15m (default: the queue's)")
	cmd.Flags().StringVar(&f.group, "group-id", "", "message group `ID`: order in a FIFO queue, tenant in another")
	cmd.Flags().StringVar(&f.dedup, "deduplication-id", "", "FIFO: the same `ID` is taken once within 5 minutes")
	cmd.Flags().BoolVar(&f.create, "create", false, "make the queue when there is none")
	p.addFormatFlag(cmd)
	p.addServerFlags(cmd)
	return cmd
}

func (f *sendFlags) check(bodies []string) error {
	switch {
	case f.file == "" && len(bodies) == 0:
		return usagef("give a BODY, - for stdin, or --file", "there is nothing to send")
	case f.file != "" && len(bodies) > 0:
		return usagef("leave one of them out", "send takes a BODY or --file, not both")
	case f.file == "" && (f.envelope || f.fromLine != 1):
		return usagef("", "--envelope and --from-line want --file")
	case f.fromLine < 1:
		return usagef("lines are counted from 1", "--from-line is %d", f.fromLine)
	case f.count < 1:
		return usagef("", "--count is %d; it is at least 1", f.count)
	case f.fromLine != 1 && f.count != 1:
		return usagef("leave one of them out", "--from-line and --count do not go together")
	case f.delay < 0 || f.delay > 15*time.Minute || f.delay%time.Second != 0:
		return usagef("SQS counts delays in whole seconds up to 15m", "--delay is %s", f.delay)
	}
	f.attribute = map[string]message.Attribute{}
	for _, attr := range f.attrs {
		name, value, ok := strings.Cut(attr, "=")
		name, dataType, typed := strings.Cut(name, ":")
		if !typed {
			dataType = "String"
		}
		if !ok || name == "" || dataType == "" {
			return usagef("write NAME=VALUE or NAME:TYPE=VALUE", "--attr %q has no name or no value", attr)
		}
		a := message.Attribute{DataType: dataType, StringValue: value}
		if strings.HasPrefix(dataType, "Binary") {
			a = message.Attribute{DataType: dataType, BinaryValue: []byte(value)}
		}
		f.attribute[name] = a
	}
	return nil
}

// outgoing is one message with what the flags say of all; what an envelope
// says itself wins.
func (f *sendFlags) outgoing(body string) (httpapi.OutgoingMessage, error) {
	m := httpapi.OutgoingMessage{}
	if f.envelope {
		dec := json.NewDecoder(strings.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&m); err != nil {
			return m, fmt.Errorf("not an envelope: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return m, errors.New("not an envelope: something follows the object")
		}
		if len(m.Body) == 0 {
			return m, errors.New(`not an envelope: it has no "body"`)
		}
	} else {
		m.Body = quoteJSON(body)
	}
	if m.DelaySeconds == nil && f.delay > 0 {
		seconds := int(f.delay / time.Second)
		m.DelaySeconds = &seconds
	}
	if m.GroupID == "" {
		m.GroupID = f.group
	}
	if m.DeduplicationID == "" {
		m.DeduplicationID = f.dedup
	}
	for name, a := range f.attribute {
		if _, there := m.Attributes[name]; !there {
			if m.Attributes == nil {
				m.Attributes = map[string]message.Attribute{}
			}
			m.Attributes[name] = a
		}
	}
	return m, nil
}

// quoteJSON writes s as a JSON string; s is UTF-8.
func quoteJSON(s string) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can't fail
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

// checkBody refuses early what the queue would refuse, and what JSON would
// change in silence.
func checkBody(body string) error {
	switch {
	case body == "":
		return errors.New("is empty; a message has at least one byte")
	case len(body) > maxMessage:
		return fmt.Errorf("has %d bytes; a message has at most %d", len(body), maxMessage)
	case !utf8.ValidString(body):
		return errors.New("is not UTF-8")
	}
	for _, r := range body {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return fmt.Errorf("has the character U+%04X, which SQS does not take", r)
		}
	}
	return nil
}

const (
	maxMessage    = 1 << 20
	sendBatch     = 500     // messages in one request
	sendBatchSize = 4 << 20 // bytes in it, about
)

// sender sends what a source gives, in order and in batches.
type sender struct {
	program *program
	client  *client.Client
	queue   string
	flags   *sendFlags

	ids     []string
	batch   []httpapi.OutgoingMessage
	lines   []int // of the messages in batch
	size    int
	sent    int
	started *progress
}

func (s *sender) run(ctx context.Context, source *source) error {
	s.started = s.program.newProgress()
	defer s.started.done()
	for {
		line, body, err := source.next()
		if errors.Is(err, io.EOF) {
			return s.flush(ctx)
		}
		if err != nil {
			return s.brokeOff(err, line)
		}
		m, err := s.flags.outgoing(body)
		if err != nil {
			return s.brokeOff(fmt.Errorf("%s: %w", source.where(line), err), line)
		}
		for range s.flags.count {
			s.batch, s.lines, s.size = append(s.batch, m), append(s.lines, line), s.size+len(body)
			if len(s.batch) == sendBatch || s.size >= sendBatchSize {
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
		}
	}
}

func (s *sender) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	results, err := s.client.Send(ctx, s.queue, s.batch)
	if err != nil {
		return s.brokeOff(err, s.lines[0])
	}
	refused, first := 0, 0
	for i, r := range results {
		if r.Error == nil {
			s.ids = append(s.ids, r.ID)
			s.sent++
			continue
		}
		if refused == 0 {
			first, err = s.lines[i], r.Error
		}
		refused++
	}
	if refused > 0 {
		err = fmt.Errorf("%s refused by the queue: %w", count(refused, "message was", "messages were"), err)
		if last := s.lines[len(s.lines)-1]; s.flags.file != "" {
			// Those behind it in the batch are sent: going on from there would send
			// them twice.
			return failuref(fmt.Sprintf("the other lines up to %d were sent; mend line %d and send it apart, then go on with --from-line %d",
				last, first, last+1), "line %d: %v", first, err)
		}
		return failuref(s.soFar(), "%v", err)
	}
	s.batch, s.lines, s.size = nil, nil, 0
	s.started.show("sent %s (%.0f/s)", count(s.sent, "message", "messages"), s.started.perSecond(s.sent))
	return nil
}

func (s *sender) soFar() string {
	if s.sent == 0 {
		return ""
	}
	return count(s.sent, "message was", "messages were") + " sent before"
}

// brokeOff says what is sent and how to go on; nothing from line on was
// confirmed.
func (s *sender) brokeOff(err error, line int) error {
	var problem *httpapi.Problem
	if s.sent == 0 && (s.flags.file == "" || s.flags.fromLine == 1) {
		return err
	}
	if errors.As(err, &problem) && problem.Status == 404 {
		return err
	}
	hint := cmp.Or(s.soFar(), "nothing was sent")
	if s.flags.file != "" && s.flags.count == 1 {
		hint += fmt.Sprintf("; go on with --from-line %d", line)
		var unreachable *client.UnreachableError
		if n := len(s.lines); n > 0 && errors.As(err, &unreachable) {
			// The request may have arrived, and only its answer got lost.
			hint += fmt.Sprintf("; lines %d to %d may be in the queue nevertheless", line, s.lines[n-1])
		}
	}
	return failuref(hint, "%v", err)
}

// sendResult is what `send -o json` prints.
type sendResult struct {
	Queue string   `json:"queue"`
	Sent  int      `json:"sent"`
	IDs   []string `json:"ids"`
}

func (s *sender) print() error {
	p := s.program
	if s.sent == 0 {
		return nil
	}
	return p.print(result{
		document: sendResult{s.queue, s.sent, s.ids}, items: anys(s.ids), names: s.ids,
		text: func() error {
			if s.sent == 1 {
				_, err := fmt.Fprintf(p.env.Stdout, "sent %s to %s\n", s.ids[0], s.queue)
				return err
			}
			_, err := fmt.Fprintf(p.env.Stdout, "sent %s to %s\n", count(s.sent, "message", "messages"), s.queue)
			return err
		},
	})
}

// sayUnread tells of a queue whose messages only wait.
func (p *program) sayUnread(ctx context.Context, c *client.Client, name string) {
	status, err := c.Status(ctx)
	if err != nil || len(status.QueueJobs)+len(status.WorkerPools) == 0 {
		return // the messages are sent; without readers this is a queue alone
	}
	for _, q := range status.Queues {
		if q.Name == name && len(q.QueueJobs)+len(q.WorkerPools) == 0 {
			p.say("note: no QueueJob and no WorkerPool reads the queue %s: its messages wait", name)
		}
	}
}
