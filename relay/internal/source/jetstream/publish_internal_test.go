package jetstream

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
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
}
