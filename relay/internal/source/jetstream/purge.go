package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

// purgeRest is the least time from one purge to the next.
const purgeRest = time.Second

// purge purges what is acknowledged, until ctx is done.
func (s *Source) purge(ctx context.Context) {
	for {
		select {
		case <-s.acked:
		case <-ctx.Done():
			return
		}
		if err := s.purgeOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug().Err(s.fanout.explain(err)).Str("stream", s.name).Msg("purging waits")
			s.purgeSoon()
		}
		if pace.Wait(ctx, purgeRest) != nil {
			return
		}
	}
}

// purgeOnce purges up to the boundary. A sequence means something only in the stream in which it
// was read: it asks the consumer, which a server loses together with what it read from.
func (s *Source) purgeOnce(ctx context.Context) error {
	s.mu.Lock()
	stream, consumer := s.stream, s.consumer
	to, due := s.keep.boundary()
	last := s.keep.lastRead()
	s.mu.Unlock()
	if !due {
		return nil
	}
	if stream == nil {
		return errors.New("the stream is not being read")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, errors.New("no answer from JetStream"))
	defer cancel()
	info, err := consumer.Info(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("look at the consumer: %w", err)
	case info.Delivered.Stream < last:
		return errSequence
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(to)); err != nil {
		return fmt.Errorf("purge below message %d: %w", to, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.consumer == consumer {
		s.keep.purgedTo(to)
	}
	return nil
}
