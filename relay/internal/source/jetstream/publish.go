package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

const (
	// publishTimeout bounds the wait for one answer. A message may be stored although the answer
	// comes later: it is published again with the same id.
	publishTimeout = 5 * time.Second
	// keepaliveEvery is the least time between two keepalives of a partition that are not urgent.
	keepaliveEvery = time.Second
)

// Run publishes until ctx is done, which is no error. What is not stored by then, or not known to
// be, is the next hold's. It is called once.
func (p *Publisher) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, t := range p.parts {
		group.Go(func() { p.publish(ctx, t) })
	}
	group.Go(func() { p.keepalives(ctx) })
	group.Wait()
	return nil
}

// keepalives tells partitions that hear nothing else how far everything is.
func (p *Publisher) keepalives(ctx context.Context) {
	tick := time.NewTicker(keepaliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		for _, t := range p.parts {
			if t.covered < p.reached && !t.open && len(t.queue) == 0 && !t.inFlight {
				p.keepalive(t, false)
			}
		}
		p.mu.Unlock()
	}
}

// publish stores what waits for a partition, one message after the other.
func (p *Publisher) publish(ctx context.Context, t *part) {
	if p.look(ctx, t) != nil {
		return
	}
	for {
		m, entries := p.take(t)
		if m == nil {
			select {
			case <-t.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if p.store(ctx, t, m) != nil {
			return
		}
		p.stored(t, entries)
	}
}

// take makes a message of as much as one holds; nil: nothing waits.
func (p *Publisher) take(t *part) (*nats.Msg, []waiting) {
	limit := p.limit()
	p.mu.Lock()
	n, size := 0, 0
	for n < len(t.queue) && (n == 0 || size+len(t.queue[n].data) <= limit) {
		size += len(t.queue[n].data)
		n++
	}
	entries := t.queue[:n:n]
	t.queue = t.queue[n:]
	if len(t.queue) == 0 {
		t.queue = nil // what is published is not kept
	}
	t.bytes -= int64(size)
	if t.inFlight = n > 0; t.inFlight {
		t.number++
		t.tried, t.failed = time.Now(), false
	}
	p.mu.Unlock()
	if n == 0 {
		return nil, nil
	}
	data := p.codec.encode(head{
		Version: version, Epoch: p.opts.Epoch, Number: t.number, Origin: p.opts.Origin, Timeline: p.opts.Timeline, Open: entries[0].within, Routing: p.routing.Load(),
	})
	data = append(make([]byte, 0, len(data)+size), data...)
	for i := range entries {
		data = append(data, entries[i].data...)
	}
	m := nats.NewMsg(p.fanout.subject(t.partition))
	m.Data = data
	m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s-%d-%d-%d", p.opts.Origin, p.opts.Timeline, p.opts.Epoch, t.number))
	return m, entries
}

// look waits, before the first message, until the stream has nothing that would have it ignored.
func (p *Publisher) look(ctx context.Context, t *part) error {
	p.mu.Lock()
	t.tried = time.Now()
	p.mu.Unlock()
	err := p.persist(ctx, t, func() error { return p.fanout.later(ctx, t.partition, p.opts.By) })
	p.mu.Lock()
	defer p.mu.Unlock()
	t.tried, t.failed = time.Time{}, false
	return err
}

// store publishes a message until the stream has it. It returns the cause of ctx's end if that
// comes first.
func (p *Publisher) store(ctx context.Context, t *part, m *nats.Msg) error {
	stream := p.fanout.stream(t.partition)
	return p.persist(ctx, t, func() error { return p.try(ctx, stream, m) })
}

// persist tries until there is no error, and returns the cause of ctx's end if that comes first.
func (p *Publisher) persist(ctx context.Context, t *part, try func() error) error {
	pause := pace.Backoff{Least: leastPause, Most: mostPause}
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.mu.Lock()
		t.failed = true
		p.mu.Unlock()
		if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			// The stream has no leader, or is gone; the server too answers nothing for a while.
			if gone := p.mend(ctx, t.partition); gone != nil {
				err = fmt.Errorf("%w: %w", err, gone)
			}
		}
		p.often.Warn().Err(p.fanout.explain(err)).Str("stream", p.fanout.stream(t.partition)).Msg("publishing to NATS waits")
		p.fanout.link.pause(ctx, pause.Next())
	}
}

// mend makes the stream of a partition anew if it is gone. The cluster may have no leader to ask.
func (p *Publisher) mend(ctx context.Context, partition int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, mostPause, errors.New("no answer from JetStream"))
	defer cancel()
	return p.fanout.ensure(ctx, partition)
}

// errLink says that the answer cannot come any more.
var errLink = errors.New("the connection to NATS was lost or made anew")

// try publishes a message once and waits for the stream's answer.
func (p *Publisher) try(ctx context.Context, stream string, m *nats.Msg) error {
	ctx, cancel := context.WithTimeoutCause(ctx, publishTimeout, errors.New("no answer from the stream: does it have a leader?"))
	defer cancel()
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	changed := p.fanout.link.change()
	var group sync.WaitGroup
	defer group.Wait()
	defer lose(nil)
	group.Go(func() {
		select {
		case <-changed:
			lose(errLink)
		case <-ctx.Done():
		}
	})
	_, err := p.fanout.js.PublishMsg(ctx, m, jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// stored tells that a message is stored, and makes room.
func (p *Publisher) stored(t *part, entries []waiting) {
	var size int64
	for i := range entries {
		size += int64(len(entries[i].data))
	}
	p.mu.Lock()
	t.tried, t.failed, t.inFlight = time.Time{}, false, false
	p.bytes -= size
	if p.room != nil && p.bytes < p.opts.Room {
		close(p.room)
		p.room = nil
	}
	p.mu.Unlock()
	for i := range entries {
		if stored := entries[i].stored; stored != nil {
			stored()
		}
	}
	clear(entries) // the queue may still have them
}
