package jetstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// shelf is a stream that notes below what it is purged.
type shelf struct {
	jetstream.Stream

	delivered uint64
	gone      error // of the consumer
	purged    []uint64
	meanwhile func() // nil: nothing happens while it is purged
	fails     error  // of the first purge
}

// shelfReader is the consumer of one.
type shelfReader struct {
	jetstream.Consumer

	of *shelf
}

func (r *shelfReader) Info(context.Context) (*jetstream.ConsumerInfo, error) {
	return &jetstream.ConsumerInfo{Delivered: jetstream.SequenceInfo{Stream: r.of.delivered}}, r.of.gone
}

func (s *shelf) Purge(_ context.Context, o ...jetstream.StreamPurgeOpt) error {
	var r jetstream.StreamPurgeRequest
	for _, set := range o {
		if err := set(&r); err != nil {
			return err
		}
	}
	s.purged = append(s.purged, r.Sequence)
	if s.meanwhile != nil {
		s.meanwhile()
	}
	err := s.fails
	s.fails = nil
	return err
}

// What may go was read from the stream that is purged: a consumer that is gone, or has delivered
// less, is of a stream that lost what was read.
func TestOnlyWhatWasReadFromAStreamIsPurgedInIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		delivered uint64
		gone      error
		want      []uint64
	}{
		"it is the one that was read":  {3, nil, []uint64{3}},
		"it came back from before":     {2, nil, nil},
		"its consumer went with it":    {3, errors.New("not found"), nil},
		"more was delivered than read": {4, nil, []uint64{3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := (&Fanout{}).NewSource(SourceOptions{})
			s.keep.ended(10)
			for seq := range uint64(3) {
				s.keep.read(seq+1, false)
			}
			stream := &shelf{delivered: c.delivered, gone: c.gone}
			require.NoError(t, s.purgeOnce(t.Context()), "nothing is acknowledged")
			require.True(t, s.keep.ack(10))
			require.Error(t, s.purgeOnce(t.Context()), "no stream is known to have what was read")
			s.use(stream, &shelfReader{of: stream})
			for range 2 { // and once
				require.Equal(t, c.want == nil, s.purgeOnce(t.Context()) != nil)
			}
			require.Equal(t, c.want, stream.purged)
		})
	}
}

// A stream that is looked at anew while it is purged is purged again: it may be another one by now.
func TestAPurgeOfAnotherStreamIsNotTakenForOneOfThis(t *testing.T) {
	t.Parallel()
	s := (&Fanout{}).NewSource(SourceOptions{})
	s.keep.ended(10)
	s.keep.ack(10)
	read := func() {
		s.keep.read(1, false)
		s.keep.read(2, false)
	}
	read()
	before, after := &shelf{delivered: 2}, &shelf{delivered: 2}
	before.meanwhile = func() {
		s.anew()
		read()
		s.use(after, &shelfReader{of: after})
	}
	s.use(before, &shelfReader{of: before})
	require.NoError(t, s.purgeOnce(t.Context()))
	require.NoError(t, s.purgeOnce(t.Context()))
	require.Equal(t, []uint64{2}, before.purged)
	require.Equal(t, []uint64{2}, after.purged)
}

// What could not be purged is tried again, whether anything more is acknowledged or not.
func TestAPurgeThatFailsIsMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := offline(1, nil).NewSource(SourceOptions{})
		stream := &shelf{delivered: 2, fails: errors.New("no answer")}
		s.keep.ended(10)
		s.keep.read(1, false)
		s.keep.read(2, false)
		s.use(stream, &shelfReader{of: stream})
		s.Ack(10)
		ctx, stop := context.WithTimeout(t.Context(), 3*purgeRest)
		defer stop()
		s.purge(ctx)
		require.Equal(t, []uint64{2, 2}, stream.purged, "until it is purged")
	})
}
