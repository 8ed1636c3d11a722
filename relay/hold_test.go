package relay_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// epochs returns the epochs of the lines of a message.
func epochs(t *testing.T, log *kit.Log, message string) (list []int64) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var l struct {
			Message string `json:"message"`
			Epoch   int64  `json:"epoch"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		if l.Message == message {
			list = append(list, l.Epoch)
		}
	}
	return list
}

// TestARelayWhoseStreamEndedBeforeItDeliversTakesTheSlotAgain: while it waited for the database,
// another one may have had the slot. It delivers nothing on the strength of what it read before.
func TestARelayWhoseStreamEndedBeforeItDeliversTakesTheSlotAgain(t *testing.T) {
	t.Parallel()
	receiver := kit.NewReceiver(t)
	db := kit.NewDatabase(t)
	cfg := complete(t, &config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()}, Network: onLoopback,
		Endpoints: []config.Endpoint{{ID: "erp", URL: receiver.URL("/erp"), Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}}},
	})
	var log kit.Log
	begin := func() (r *relay.Relay, end func()) {
		r, err := relay.New(cfg, relay.Options{Grace: time.Second, Logger: zerolog.New(&log)})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return r, func() {
			stop()
			require.NoError(t, <-done)
		}
	}
	r, end := begin() // it makes slot and row
	requireDelivering(t, r)
	end()

	holds, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = holds.Exec(t.Context(), "SELECT FROM tailpost.relay FOR UPDATE") // as a predecessor that still records
	require.NoError(t, err)
	r, end = begin()
	defer end()
	db.AwaitCount(t, 1, `
		SELECT count(*)
		FROM pg_stat_activity, pg_replication_slots
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND slot_name = $1 AND active`, db.Slot)
	db.Run(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", db.Slot)
	db.AwaitCount(t, 0, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active", db.Slot)
	require.NoError(t, holds.Rollback(t.Context()))

	requireDelivering(t, r)
	ids := db.Insert(t, kit.Event("order.created", `{}`))
	receiver.AwaitIDs(t, "/erp", ids...)
	require.Contains(t, log.String(), "the stream ended before it could deliver")
	require.NotContains(t, log.String(), "another relay", "there is none")
	require.Equal(t, []int64{1, 3}, epochs(t, &log, kit.LogDelivering), "the second took the slot and lost it")
}
