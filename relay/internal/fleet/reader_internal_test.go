package fleet

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

const patience = 30 * time.Second

// An event for endpoints of two partitions is off the reader's hands once both have stored it: the
// slot is told so then, and what one of them lacks would come from nowhere.
func TestEvent_isStoredOnceAllPartitionsHaveIt(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience))
	fan, err := jetstream.Open(t.Context(), jetstream.Options{URL: config.NewSecret(s.ClientURL()), Slot: "s", Partitions: 2, Replicas: 1, Logger: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(fan.Close)
	closeStream(t, s.ClientURL(), "TAILPOST_s_2_01")

	cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
	f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }, Logger: zerolog.Nop()})
	f.fan = fan
	r := f.NewReader(ReaderOptions{
		Timeline: 1, Barriers: source.NewBarriers(1, func(context.Context, string) error { return nil }),
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.to.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	stored := make(chan string, 10)
	publish := func(id string, at source.Position, endpoints ...string) {
		tx := source.Tx{Commit: at, At: time.Now()}
		r.Within().Begin(tx)
		r.Event(&outbox.Event{ID: id, Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(at)}, endpoints, func() { stored <- id })
		tx.End = at + 5
		r.Within().Commit(tx, nil)
	}
	first, second := endpointOf(0), endpointOf(1)
	publish("both", 10, first, second)
	publish("one", 20, first)
	var got string
	require.Eventually(t, func() bool {
		select {
		case got = <-stored:
			return true
		default:
			return false
		}
	}, patience, time.Millisecond)
	require.Equal(t, "one", got, "the second partition takes nothing")
	require.Empty(t, stored)
}

// endpointOf returns an endpoint of a partition of two.
func endpointOf(partition int) string {
	for n := 0; ; n++ {
		if id := fmt.Sprint("ep", n); jetstream.PartitionOf(id, 2) == partition {
			return id
		}
	}
}

// closeStream has a stream take nothing more.
func closeStream(t *testing.T, url, stream string) {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	defer conn.Close()
	to, err := js.New(conn)
	require.NoError(t, err)
	found, err := to.Stream(t.Context(), stream)
	require.NoError(t, err)
	sealed := found.CachedInfo().Config
	sealed.Sealed = true
	_, err = to.UpdateStream(t.Context(), sealed)
	require.NoError(t, err)
}
