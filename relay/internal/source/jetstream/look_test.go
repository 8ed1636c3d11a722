package jetstream_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

// names are the streams that a server has.
func names(t *testing.T, js natsjs.JetStream) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	list := js.StreamNames(ctx)
	for name := range list.Name() {
		all = append(all, name)
	}
	require.NoError(t, list.Err())
	return all
}

func TestALookChangesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js, o := admin(t, n.Addr().String()), options(n.Addr().String())
	o.Replicas = 0 // one
	there, err := jetstream.Look(t.Context(), o)
	require.NoError(t, err)
	require.Zero(t, there)
	require.Empty(t, names(t, js))
	open(t, o)
	there, err = jetstream.Look(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 2, there)
	require.NoError(t, js.DeleteStream(t.Context(), stream0))
	there, err = jetstream.Look(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 1, there)
	require.Len(t, names(t, js), 1)
}

// Whoever looks while servers are away is told which: of one that less is safe, of two of three
// that nothing can be published.
func TestALookSaysWhichReplicasAreAway(t *testing.T) {
	t.Parallel()
	nodes := newCluster(t)
	o := options(nodes[0].Addr().String())
	o.URL = config.NewSecret(o.URL.Reveal() + "," + nodes[1].Addr().String() + "," + nodes[2].Addr().String())
	o.Replicas, o.Partitions = 3, 1
	open(t, o)
	look := func() error {
		_, err := jetstream.Look(t.Context(), o)
		return err
	}
	require.Eventually(t, func() bool { return look() == nil }, patience, poll)

	leader := slices.IndexFunc(nodes, func(n *node) bool { return n.JetStreamIsStreamLeader("$G", "TAILPOST_s_1_00") })
	require.GreaterOrEqual(t, leader, 0)
	one, two := nodes[(leader+1)%3], nodes[(leader+2)%3]
	one.stop()
	require.Eventually(t, func() bool { return errors.Is(look(), jetstream.ErrDegraded) }, patience, poll)
	there, err := jetstream.Look(t.Context(), o)
	require.ErrorContains(t, err, "stream TAILPOST_s_1_00 has 2 of 3: "+one.opts.ServerName+" is offline")
	require.Equal(t, 1, there)
	two.stop()
	require.Eventually(t, func() bool {
		err = look()
		return errors.Is(err, jetstream.ErrNoQuorum) || err != nil && strings.Contains(err.Error(), " has 1 of 3")
	}, patience, poll)
	require.ErrorIs(t, err, jetstream.ErrNoQuorum)
	require.ErrorContains(t, err, "stream TAILPOST_s_1_00 has ") // 1 of 3, or later no leader
}

func TestALookSaysWhyNothingCouldBePublished(t *testing.T) {
	t.Parallel()
	looked := func(t *testing.T, n *node, change func(*jetstream.Options)) error {
		t.Helper()
		o := options(n.Addr().String())
		if change != nil {
			change(&o)
		}
		_, err := jetstream.Look(t.Context(), o)
		return err
	}
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		_, err := jetstream.Look(t.Context(), options("127.0.0.1:1"))
		require.ErrorIs(t, err, jetstream.ErrUnreachable)
	})
	t.Run("login", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
		err := looked(t, n, func(o *jetstream.Options) { o.User, o.Password = "u", config.NewSecret("s3cr3t") })
		require.ErrorIs(t, err, jetstream.ErrRefused)
		require.NotContains(t, err.Error(), "s3cr3t")
		require.NoError(t, looked(t, n, func(o *jetstream.Options) { o.User, o.Password = "u", config.NewSecret("right") }))
	})
	t.Run("without JetStream", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, func(o *server.Options) { o.JetStream = false })
		require.ErrorIs(t, looked(t, n, nil), jetstream.ErrNoJetStream)
	})
	t.Run("forbidden", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"TAILPOST.>"}},
			}}}
		})
		err := looked(t, n, func(o *jetstream.Options) { o.User, o.Password = "u", config.NewSecret("p") })
		require.ErrorIs(t, err, jetstream.ErrForbidden)
		require.ErrorContains(t, err, "$JS.API.STREAM.INFO."+stream0)
	})
	t.Run("a stream that is otherwise", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, nil)
		_, err := admin(t, n.Addr().String()).CreateStream(t.Context(), natsjs.StreamConfig{
			Name: stream0, Subjects: []string{"TAILPOST.s.2.00"}, MaxAge: time.Hour, Storage: natsjs.FileStorage,
		})
		require.NoError(t, err)
		err = looked(t, n, nil)
		require.ErrorIs(t, err, jetstream.ErrSetup)
		require.ErrorContains(t, err, "it must have no max age; change that with `nats stream edit "+stream0)
	})
	t.Run("a stream that has the subject", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, nil)
		_, err := admin(t, n.Addr().String()).CreateStream(t.Context(), natsjs.StreamConfig{Name: "ALL", Subjects: []string{"TAILPOST.>"}})
		require.NoError(t, err)
		err = looked(t, n, nil)
		require.ErrorIs(t, err, jetstream.ErrSetup)
		require.ErrorContains(t, err, "stream ALL takes subject TAILPOST.s.2.00")
	})
	t.Run("more replicas than servers", func(t *testing.T) {
		t.Parallel()
		n := newNode(t, nil)
		err := looked(t, n, func(o *jetstream.Options) { o.Replicas = 3 })
		require.ErrorIs(t, err, jetstream.ErrSetup)
		require.ErrorContains(t, err, "NATS is a server alone")
	})
	t.Run("as many as servers", func(t *testing.T) {
		t.Parallel()
		n := newCluster(t)[0]
		require.Eventually(t, func() bool {
			return looked(t, n, func(o *jetstream.Options) { o.Replicas = 3 }) == nil
		}, patience, poll)
	})
}
