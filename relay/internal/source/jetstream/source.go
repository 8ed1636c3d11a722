package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// SourceOptions say how a partition is read.
type SourceOptions struct {
	Partition int
	Settled   source.Position // recorded: what ends at or below is skipped
	Origin    string          // of the partition's rows: what others published is ignored
	Timeline  int32           // on which Settled was recorded; what is of a later one is not skipped by it
	// Routing returns the number of the handler's routing, see Publisher.Route; nil: it takes all.
	Routing func() int64
	// Held reports whether the partition may still be believed to be ours; nil: always.
	Held func() bool
	// Awaited is told, on the goroutine of Run, that somebody waits until it is recorded that
	// everything up to p is settled. Nil: nobody is.
	Awaited func(p source.Position)
	Logger  zerolog.Logger
}

// Source reads the stream of a partition. It is a source.Source.
type Source struct {
	fanout *Fanout
	opts   SourceOptions
	name   string // of the stream
	log    zerolog.Logger
	often  zerolog.Logger // for what may come at every try
	keep   *keep
	acked  chan struct{} // gets a value when messages may be purged
	closed chan struct{}
	close  sync.Once

	mu       sync.Mutex
	stream   jetstream.Stream   // known to have what was read; nil: not known
	consumer jetstream.Consumer // of stream

	// Of Run.
	last   uint64 // sequence of the last message read; 0: none
	lastID string
}

var _ source.Source = (*Source)(nil)

// NewSource returns the source that the stream of a partition is.
func (f *Fanout) NewSource(o SourceOptions) *Source {
	log := o.Logger.With().Int("partition", o.Partition).Logger()
	o.Logger = log
	return &Source{
		fanout: f, opts: o, name: f.stream(o.Partition), log: log, often: log.Sample(&zerolog.BurstSampler{Burst: 1, Period: quiet}),
		keep: newKeep(o.Settled), acked: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// Ack implements source.Source: messages that lie wholly below p are purged soon.
func (s *Source) Ack(p source.Position) {
	if s.keep.ack(p) {
		s.purgeSoon()
	}
}

func (s *Source) purgeSoon() {
	select {
	case s.acked <- struct{}{}:
	default:
	}
}

// Held implements source.Source.
func (s *Source) Held() bool { return s.opts.Held == nil || s.opts.Held() }

// Close implements source.Source: it ends Run. The connection is the Fanout's and stays.
func (s *Source) Close() { s.close.Do(func() { close(s.closed) }) }

// Run implements source.Source. Whatever happens to the connection, the servers or the stream, it
// goes on once that has passed. Its errors are of messages that it cannot read, and ErrRouting.
func (s *Source) Run(ctx context.Context, h source.Handler) error {
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() {
		select {
		case <-s.closed:
			stop()
		case <-ctx.Done():
		}
	})
	group.Go(func() { s.purge(ctx) })

	r := newReplay(&s.opts, s.keep, h)
	pause := pace.Backoff{Least: leastPause, Most: mostPause}
	for {
		before := s.last
		err := s.read(ctx, r)
		if bad := new(messageError); errors.As(err, &bad) || errors.Is(err, ErrRouting) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		s.often.Warn().Err(s.fanout.explain(err)).Str("stream", s.name).Msg("reading a partition is interrupted and begins again")
		if s.last != before {
			pause.Reset()
		}
		s.fanout.link.pause(ctx, pause.Next())
	}
}

// ErrRouting says that what comes next was routed by other endpoints than the handler has, or
// behind a gap that it has not heard of.
var ErrRouting = errors.New("what comes next was routed by endpoints, or behind a gap, that this process does not know of yet")

// messageError is of a message that cannot be read.
type messageError struct {
	stream   string
	sequence uint64
	err      error
}

func (e *messageError) Error() string {
	return fmt.Sprintf("read message %d of stream %s: %v; once nobody needs it, `nats stream rmm %s %d` removes it",
		e.sequence, e.stream, e.err, e.stream, e.sequence)
}

func (e *messageError) Unwrap() error { return e.err }

const (
	leastPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second

	// pullMessages bounds what waits in memory for a handler that is not ready. One may have
	// maxMessage bytes, and a process has many partitions.
	pullMessages  = 4
	pullHeartbeat = time.Second // none for twice as long: the consumer is gone
	pullExpiry    = 30 * time.Second
	// consumerIdle is how long a consumer outlives its process.
	consumerIdle = time.Minute
)

var (
	errSequence = errors.New("its consumer began again")
	errAnew     = errors.New("its stream is not the one that was read, or lacks what was read last: it is read from its first message on")
)

// read reads the stream with one consumer, until anything is not as expected.
func (s *Source) read(ctx context.Context, r *replay) error {
	stream, consumer, err := s.consume(ctx)
	if err != nil {
		return err
	}
	defer s.drop(ctx, stream, consumer)
	messages, err := consumer.Messages(
		jetstream.PullMaxMessages(pullMessages), jetstream.PullHeartbeat(pullHeartbeat), jetstream.PullExpiry(pullExpiry),
		jetstream.WithMessagesErrOnMissingHeartbeat(true),
	)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	defer messages.Stop()
	known := s.last == 0
	if known {
		s.use(stream, consumer)
	}
	for n := uint64(1); ; n++ {
		m, meta, err := next(ctx, messages)
		if err != nil {
			return err
		}
		sequence, id := meta.Sequence.Stream, m.Headers().Get(nats.MsgIdHdr)
		switch {
		case meta.Sequence.Consumer != n:
			return errSequence
		case !known:
			if sequence != s.last || id != s.lastID {
				s.anew()
				return errAnew
			}
			known = true
			s.use(stream, consumer)
			continue
		case sequence <= s.last:
			return errSequence
		}
		if err := r.message(ctx, m.Data()); err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrRouting) {
				return err
			}
			return &messageError{stream: s.name, sequence: sequence, err: err}
		}
		s.last, s.lastID = sequence, id
		s.keep.read(sequence, r.open)
		if s.keep.ack(0) {
			s.purgeSoon()
		}
	}
}

func next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	m, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	return m, meta, nil
}

// consume makes a consumer that begins with the last message that was read, or with the first one.
func (s *Source) consume(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, errors.New("no answer from JetStream"))
	defer cancel()
	stream, err := s.fanout.js.Stream(ctx, s.name)
	if err != nil {
		return nil, nil, fmt.Errorf("look at the stream: %w", err)
	}
	if s.last > stream.CachedInfo().State.LastSeq {
		s.anew()
		s.often.Warn().Err(errAnew).Str("stream", s.name).Msg("a partition is read again")
	}
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerIdle,
		Description: "Tailpost reads a partition. Nothing is lost with it.",
	}
	if s.last != 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.last
	}
	consumer, err := stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("make a consumer: %w", err)
	}
	return stream, consumer, nil
}

// use lets messages be purged as long as a consumer lives: a server that has lost what was read has
// lost the consumer too.
func (s *Source) use(stream jetstream.Stream, c jetstream.Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream, s.consumer = stream, c
}

// drop deletes a consumer. One that cannot be deleted now expires by itself.
func (s *Source) drop(ctx context.Context, stream jetstream.Stream, c jetstream.Consumer) {
	s.use(nil, nil)
	if !s.fanout.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := stream.DeleteConsumer(ctx, c.CachedInfo().Name); err != nil {
		s.log.Debug().Err(err).Msg("a consumer is left to go by itself")
	}
}

// anew has the stream read from its first message on.
func (s *Source) anew() {
	s.last, s.lastID = 0, ""
	s.keep.anew()
}
