package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// What is told of partitions that NATS takes nothing of is since when the first of them waits.
func TestStuckSinceTheFirst(t *testing.T) {
	t.Parallel()
	now := time.Now()
	first := now.Add(-time.Minute)
	for name, tried := range map[string][]time.Time{
		"in order":         {first, now},
		"in another order": {now, first},
		"beside idle ones": {{}, now, {}, first},
	} {
		p := &Publisher{}
		for _, at := range tried {
			p.parts = append(p.parts, &part{tried: at, failed: !at.IsZero()})
		}
		require.Equal(t, first, p.Stuck(), name)
	}
	require.True(t, (&Publisher{parts: []*part{{tried: now}}}).Stuck().IsZero(), "a message that was published just now is not late")
	require.Equal(t, first, (&Publisher{parts: []*part{{tried: first}}}).Stuck(), "one without an answer is")
	require.Equal(t, now, (&Publisher{parts: []*part{{tried: now, failed: true}}}).Stuck(), "nor does one that was refused wait to be told of")
	late := &Publisher{parts: []*part{{tried: first, failed: true, inFlight: true}}}
	late.stored(late.parts[0], nil)
	require.True(t, late.Stuck().IsZero(), "nor is what was stored after all")
	require.Nil(t, (&Fanout{opts: Options{Partitions: 1}}).NewPublisher(PublisherOptions{}).Full(), "there is room where nobody says how much")
}

// A replica that is away or behind keeps nothing safe. With most of them gone nothing is stored.
func TestWhichReplicasCount(t *testing.T) {
	t.Parallel()
	current, behind, offline := &jetstream.PeerInfo{Name: "b", Current: true}, &jetstream.PeerInfo{Name: "c"}, &jetstream.PeerInfo{Name: "d", Offline: true, Current: true}
	for name, test := range map[string]struct {
		leader string
		peers  []*jetstream.PeerInfo
		kind   error // nil: all is well
		says   string
	}{
		"all":               {"a", []*jetstream.PeerInfo{current, current}, nil, ""},
		"one behind":        {"a", []*jetstream.PeerInfo{current, behind}, ErrDegraded, "has 2 of 3: c is behind"},
		"one offline":       {"a", []*jetstream.PeerInfo{offline, current}, ErrDegraded, "has 2 of 3: d is offline"},
		"one each":          {"a", []*jetstream.PeerInfo{offline, behind}, ErrNoQuorum, "has 1 of 3: d is offline, c is behind"},
		"two behind":        {"a", []*jetstream.PeerInfo{behind, behind}, ErrNoQuorum, "has 1 of 3"},
		"nobody leads them": {"", []*jetstream.PeerInfo{current, current}, ErrNoQuorum, "has no leader"},
	} {
		info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "s", Replicas: 3}, Cluster: &jetstream.ClusterInfo{Leader: test.leader, Replicas: test.peers}}
		err := judgeReplicas(info)
		if test.kind == nil {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, test.kind, name)
		require.ErrorContains(t, err, test.says, name)
	}
	require.NoError(t, judgeReplicas(&jetstream.StreamInfo{}), "a server alone")
	for code, leaderless := range map[jetstream.ErrorCode]bool{codeUnavailable: true, codeOffline: true, jetstream.JSErrCodeJetStreamNotEnabled: false} {
		require.Equal(t, leaderless, isLeaderless(&jetstream.APIError{ErrorCode: code}), "answer %d", code)
	}
}

// offline returns a fan-out without a connection.
func offline(partitions int, js jetstream.JetStream) *Fanout {
	return &Fanout{opts: Options{Partitions: partitions}, nc: &nats.Conn{}, js: js, link: &link{}}
}

// next takes a message for a partition, and returns its number, what it says, and how to have it
// stored.
func (p *Publisher) next(t *testing.T, partition int) (number uint64, says []string, store func()) {
	t.Helper()
	m, entries := p.take(p.parts[partition])
	if m == nil {
		return 0, nil, func() {}
	}
	h, rest, err := p.codec.decodeHead(m.Data)
	require.NoError(t, err)
	if h.Open != nil {
		says = append(says, fmt.Sprintf("within %d", h.Open.Commit))
	}
	for len(rest) > 0 {
		var e entry
		e, rest, err = p.codec.next(rest)
		require.NoError(t, err)
		switch e.Kind {
		case beginEntry:
			says = append(says, fmt.Sprintf("begin %d", e.Commit.Commit))
		case eventEntry:
			says = append(says, fmt.Sprintf("event %d", e.Event.Seq))
		case commitEntry:
			says = append(says, fmt.Sprintf("commit %d", e.Position))
		case keepaliveEntry:
			says = append(says, fmt.Sprintf("keepalive %d %t", e.Position, e.Awaited))
		case rowEntry, dueEntry, pieceEntry:
			says = append(says, "something else")
		}
	}
	return h.Number, says, func() { p.stored(p.parts[partition], entries) }
}

// A partition is told how far everything is once, whatever tells it, and never within a transaction
// nor while something else waits for it: NATS may take nothing for hours.
func TestAPartitionIsToldOnceHowFarEverythingIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := offline(2, nil).NewPublisher(PublisherOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.keepalives(ctx)
		var numbers [2]uint64
		told := func(partition int, want ...string) (store func()) {
			t.Helper()
			<-time.After(3 * keepaliveEvery)
			number, says, store := p.next(t, partition)
			require.Equal(t, want, says)
			if want != nil {
				numbers[partition]++
				require.Equal(t, numbers[partition], number, "none is missing")
			}
			return store
		}
		p.Begin(source.Tx{Commit: 10})
		p.Keepalive(9) // of before
		for seq := range 2 {
			p.Event(0, &outbox.Event{Seq: int64(seq)}, nil)
		}
		told(0, "begin 10", "event 0", "event 1")()
		told(0)
		told(1, "keepalive 9 false")()
		p.Commit(source.Tx{Commit: 10, End: 15}, nil)
		told(0, "within 10", "commit 15")()
		told(0)
		told(1, "keepalive 15 false")()
		told(1)
		p.Keepalive(12)
		told(1)
		p.KeepaliveNow(20)
		p.Keepalive(18)
		p.KeepaliveNow(17)
		told(0, "keepalive 20 true", "keepalive 20 true")()
		told(0)
		p.Keepalive(30)
		<-time.After(3 * keepaliveEvery)
		p.Keepalive(40)
		store := told(0, "keepalive 30 false")
		<-time.After(3 * keepaliveEvery)
		require.Empty(t, p.parts[0].queue, "nothing waits behind what is not stored yet")
		store()
		told(0, "keepalive 40 false")()
		told(0)
	})
}

// mute is a JetStream that never answers a message, and has no stream.
type mute struct {
	jetstream.JetStream

	asked func() error
}

func (mute) PublishMsg(ctx context.Context, _ *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (m mute) Stream(context.Context, string) (jetstream.Stream, error) { return nil, m.asked() }

// An answer that cannot come any more, because the connection is another one, is not waited for.
func TestAnAnswerIsWaitedForAsLongAsItCanCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := offline(1, mute{})
		p := f.NewPublisher(PublisherOptions{})
		began := time.Now()
		time.AfterFunc(time.Millisecond, func() { f.link.changed(time.Now()) })
		require.ErrorIs(t, p.try(t.Context(), "s", &nats.Msg{}), errLink)
		require.Equal(t, time.Millisecond, time.Since(began))
		require.ErrorContains(t, p.try(t.Context(), "s", &nats.Msg{}), "no answer from the stream")
		require.Equal(t, time.Millisecond+publishTimeout, time.Since(began))
	})
}

// What NATS refuses is tried again, less and less often, and at once when the connection is back.
func TestWhatIsRefusedIsTriedAgainLessOften(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(ctx context.Context, try func() error){
		"publishing": func(ctx context.Context, try func() error) {
			p := offline(1, nil).NewPublisher(PublisherOptions{})
			require.Error(t, p.persist(ctx, p.parts[0], try))
		},
		"reading": func(ctx context.Context, try func() error) {
			s := offline(1, mute{asked: try}).NewSource(SourceOptions{})
			require.NoError(t, s.Run(ctx, &calls{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at []time.Duration
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				run(ctx, func() error {
					if at = append(at, time.Since(began)); len(at) == 9 {
						cancel()
					}
					return errors.New("refused")
				})
				require.Equal(t, []time.Duration{0, 50e6, 150e6, 350e6, 750e6, 1550e6, 3150e6, 5150e6, 7150e6}, at)
			})
		})
	}
}

// Once something was read the next pause is short again.
func TestReadingThatGotOnPausesShortly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s *Source
		var last time.Time
		var pauses []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := offline(1, nil)
		f.js = mute{asked: func() error {
			if !last.IsZero() {
				pauses = append(pauses, time.Since(last))
			}
			last = time.Now()
			switch len(pauses) {
			case 2:
				s.last++
			case 3:
				time.AfterFunc(time.Millisecond, func() { f.link.changed(time.Time{}) })
			case 4:
				cancel()
			}
			return errors.New("gone")
		}}
		s = f.NewSource(SourceOptions{})
		require.NoError(t, s.Run(ctx, &calls{}))
		require.Equal(t, []time.Duration{leastPause, 2 * leastPause, leastPause, time.Millisecond}, pauses)
	})
}

// It is told since when there is no connection, however often it was looked for since.
func TestCutSinceTheFirst(t *testing.T) {
	t.Parallel()
	f := offline(1, nil)
	first := time.Now()
	for _, at := range []time.Time{first, first.Add(time.Second)} {
		f.link.changed(at)
		require.Equal(t, first, f.Cut())
	}
	f.link.changed(time.Time{})
	require.True(t, f.Cut().IsZero())
}

// Whoever asks for a stream is told why there is no answer, as far as that is known.
func TestWhyAStreamIsNotToldOf(t *testing.T) {
	t.Parallel()
	late := func() error {
		<-time.After(2 * askTimeout)
		return context.DeadlineExceeded
	}
	said := func(err error) func() error { return func() error { return err } }
	for name, c := range map[string]struct {
		asked func() error
		looks error  // what a look finds
		says  string // to who opens, and to who publishes
	}{
		"nobody answers":     {late, ErrNoAnswer, "no answer from JetStream"},
		"nobody leads it":    {said(&jetstream.APIError{ErrorCode: codeUnavailable}), ErrNoQuorum, ""},
		"there is none":      {said(jetstream.ErrJetStreamNotEnabled), ErrNoJetStream, "not enabled"},
		"not for this login": {said(jetstream.ErrJetStreamNotEnabledForAccount), ErrNoJetStream, "not enabled"},
		"no JetStream":       {said(nats.ErrNoResponders), ErrNoJetStream, "no responders"},
		"another reason":     {said(nats.ErrTimeout), nats.ErrTimeout, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := offline(1, mute{asked: c.asked})
				there, err := lookAt(t.Context(), f, 0)
				require.ErrorIs(t, err, c.looks)
				require.NotErrorIs(t, err, ErrForbidden)
				require.False(t, there)
				require.ErrorContains(t, f.ensure(t.Context(), 0), c.says)
				require.ErrorContains(t, f.later(t.Context(), 0, By{}), c.says)
			})
		})
	}
}
