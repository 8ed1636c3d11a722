package postgres

import (
	"context"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// Source is a Stream whose changes are events.
type Source struct {
	*Stream

	opts EventsOptions
}

var _ source.Source = (*Source)(nil)

// NewSource returns the source that a stream is. Closing either closes both.
func NewSource(s *Stream, o EventsOptions) *Source { return &Source{Stream: s, opts: o} }

// Run brings h the events of the slot; see Stream.Run.
func (s *Source) Run(ctx context.Context, h source.Handler) error {
	return s.Stream.Run(ctx, NewEvents(s.opts, h))
}

// Ack lets the slot go as far as a position; see Stream.Ack.
func (s *Source) Ack(p source.Position) { s.Stream.Ack(outbox.LSN(p)) }
