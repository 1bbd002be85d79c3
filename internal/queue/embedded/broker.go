package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/store"
)

// Options of a broker. The zero value is the one for use.
type Options struct {
	Logger        *slog.Logger // nil: none
	Account       string       // "": 000000000000
	DefaultRegion string       // "": us-east-1

	// NoCooldowns switches off both rules of 60 seconds: a deleted queue's name
	// is free at once, and a queue may be purged again at once.
	NoCooldowns bool

	// MaxInFlight is how many messages of a queue may be in flight. 0: 120,000, as in SQS.
	MaxInFlight int
}

const defaultMaxInFlight = 120_000

// Broker has the queues of a store. Its methods are for concurrent use.
type Broker struct {
	db    *store.DB
	o     Options
	log   *slog.Logger
	clock clock

	seq      atomic.Uint64 // the last sequence number given out
	reserved atomic.Uint64 // sequence numbers below it are reserved on disk

	reserveMu sync.Mutex // one reservation at a time
	adminMu   sync.Mutex // one change to the set of queues or their definitions at a time

	mu        sync.RWMutex // guards what follows; held briefly, never over I/O
	closed    bool
	nextQueue uint32
	queues    map[queueName]*Queue
	byID      map[uint32]*Queue
	deleted   map[queueName]instant // names deleted within the last 60 s
	moves     map[uint64]*mover     // move tasks, also ended ones

	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	moving sync.WaitGroup // tasks that run
}

type queueName struct{ region, name string }

// Open makes the broker of a store and rebuilds the queues' indexes from it.
func Open(db *store.DB, o Options) (*Broker, error) {
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.DefaultRegion == "" {
		o.DefaultRegion = "us-east-1"
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{
		db: db, o: o, log: o.Logger, clock: newClock(),
		nextQueue: 1,
		queues:    map[queueName]*Queue{},
		byID:      map[uint32]*Queue{},
		deleted:   map[queueName]instant{},
		moves:     map[uint64]*mover{},
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	if err := b.load(); err != nil {
		return nil, fmt.Errorf("read queues: %w", err)
	}
	return b, nil
}

// Account is the account number in ARNs and URLs.
func (b *Broker) Account() string { return b.o.Account }

// DefaultRegion is the region of calls that name none.
func (b *Broker) DefaultRegion() string { return b.o.DefaultRegion }

// Close ends waiting receives with ErrClosed, refuses further calls and waits
// for those under way. The store stays open.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	queues := make([]*Queue, 0, len(b.byID))
	for _, q := range b.byID {
		queues = append(queues, q)
	}
	b.mu.Unlock()
	b.stop()
	b.moving.Wait()
	for _, q := range queues {
		q.shut(ErrClosed)
	}
	for _, q := range queues {
		q.drain()
	}
	return nil
}

// Queue finds a queue; region "" is the default one. CodeQueueDoesNotExist.
func (b *Broker) Queue(region, name string) (*Queue, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, ErrClosed
	}
	if q, ok := b.queues[b.name(region, name)]; ok {
		return q, nil
	}
	return nil, errNoQueue()
}

func (b *Broker) name(region, name string) queueName {
	if region == "" {
		region = b.o.DefaultRegion
	}
	return queueName{region, name}
}

// Queues are the queues whose names begin with prefix, sorted by name; region
// "" is all regions.
func (b *Broker) Queues(region, prefix string) []*Queue {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var found []*Queue
	for n, q := range b.queues {
		if (region == "" || n.region == region) && strings.HasPrefix(n.name, prefix) {
			found = append(found, q)
		}
	}
	slices.SortFunc(found, func(p, q *Queue) int {
		if c := strings.Compare(p.name, q.name); c != 0 {
			return c
		}
		return strings.Compare(p.region, q.region)
	})
	return found
}

// QueueByARN finds a queue by its ARN. CodeQueueDoesNotExist,
// CodeInvalidParameterValue when it is no ARN of a queue.
func (b *Broker) QueueByARN(arn string) (*Queue, error) {
	n, account, ok := parseARN(arn)
	if !ok {
		return nil, errorf(CodeInvalidParameterValue, "Value %s for parameter ResourceArn is invalid. Reason: it is not the ARN of a queue.", arn)
	}
	if account != b.o.Account {
		return nil, errNoQueue()
	}
	return b.Queue(n.region, n.name)
}

func parseARN(arn string) (n queueName, account string, ok bool) {
	part := strings.Split(arn, ":")
	if len(part) != 6 || part[0] != "arn" || part[2] != "sqs" || part[3] == "" {
		return n, "", false
	}
	return queueName{part[3], part[5]}, part[4], true
}

// lookup finds the queue of an ARN for the broker's own work, which goes on
// while it closes; nil: there is none.
func (b *Broker) lookup(arn string) *Queue {
	n, account, ok := parseARN(arn)
	if !ok || account != b.o.Account {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.queues[n]
}

// queueByID finds a queue by the number it has in the store; nil: deleted.
func (b *Broker) queueByID(id uint32) *Queue {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byID[id]
}

// Sequence numbers are reserved ahead on disk, so that none is given out twice,
// whatever the process dies of.
const (
	reserveAhead = 1 << 20
	reserveLow   = 1 << 16
)

// reserve makes sure that sequence numbers can be given out without I/O.
func (b *Broker) reserve() error {
	if b.seq.Load()+reserveLow < b.reserved.Load() {
		return nil
	}
	b.reserveMu.Lock()
	defer b.reserveMu.Unlock()
	seq := b.seq.Load()
	if seq+reserveLow < b.reserved.Load() {
		return nil
	}
	b.mu.RLock()
	nextQueue := b.nextQueue
	b.mu.RUnlock()
	batch := b.db.Pebble().NewBatch()
	defer batch.Close()
	b.putCounters(batch, seq+reserveAhead, nextQueue)
	if err := b.db.CommitNoSync(batch); err != nil {
		return err
	}
	b.reserved.Store(seq + reserveAhead)
	return nil
}

func (b *Broker) putCounters(batch *pebble.Batch, reserved uint64, nextQueue uint32) {
	v := binary.BigEndian.AppendUint64([]byte{codecVersion}, reserved)
	v = binary.BigEndian.AppendUint32(v, nextQueue)
	_ = batch.Set([]byte{store.SpaceQueue, kindCounters}, v, nil)
}

func (b *Broker) loadCounters() error {
	v, closer, err := b.db.Pebble().Get([]byte{store.SpaceQueue, kindCounters})
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	if len(v) != 13 || v[0] != codecVersion {
		return fmt.Errorf("counters: %w", errDamaged)
	}
	b.seq.Store(binary.BigEndian.Uint64(v[1:]))
	b.reserved.Store(binary.BigEndian.Uint64(v[1:]))
	b.nextQueue = binary.BigEndian.Uint32(v[9:])
	return nil
}

// cooldown is how long a deleted name stays taken and a purge can't be repeated.
const cooldown = 60 * time.Second
