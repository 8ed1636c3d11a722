package api_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// TestTheRelaySaysHowFarItsSendersAre: all partitions of a fan-out, and whether NATS takes what is
// for them.
func TestTheRelaySaysHowFarItsSendersAre(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	var alone atomic.Bool
	b := setup(t, nil, func(o *api.Options) {
		own := o.Status
		o.Status = func() api.Status {
			s := own()
			if s.Unpublished = since; alone.Load() {
				s.Unpublished, s.Alone = time.Time{}, since.Add(time.Minute)
			}
			return s
		}
	})
	b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, partitions, partition_of)
		SELECT slot, epoch, owner, '7', 1, 1, settled::pg_lsn, at, $1, 2, of
		FROM (VALUES
			('tailpost',    1, 'a/1', '0/90', $1::timestamptz, NULL),
			('tailpost#00', 3, 'b/2', '0/20', $1::timestamptz, 'tailpost'),
			('tailpost#01', 0, '',    '0/90', NULL,            'tailpost')
		) AS v (slot, epoch, owner, settled, at, of)`, since)
	got := b.get(t, "/v1/relay").is(http.StatusOK)
	const at = "2026-09-01T12:00:00Z"
	require.Equal(t, map[string]any{"partitions": 2, "unpublished_since": at}, map[string]any{
		"partitions": got.at("publishing.partitions"), "unpublished_since": got.at("publishing.unpublished_since"),
	})
	for name, want := range map[string]any{
		"0.number": 0, "0.owner": "b/2", "0.epoch": 3, "0.settled_lsn": "0/20", "0.settled_at": at, "0.behind_bytes": 0x70, "0.updated_at": at,
		"1.number": 1, "1.epoch": 0, "1.settled_lsn": "0/90", "1.behind_bytes": 0, "1.updated_at": at,
	} {
		require.Equal(t, want, got.at("partitions."+name), name)
	}
	require.NotContains(t, string(got.Body), `"owner":""`)
	require.Equal(t, "0/20", got.at("settled_lsn"), "of the partition that is behind most")

	// The holder delivers itself, until NATS is back.
	alone.Store(true)
	b.exec(t, "UPDATE tailpost.relay SET partitions = 0")
	got = b.get(t, "/v1/relay").is(http.StatusOK)
	require.Equal(t, 0, got.at("publishing.partitions"))
	require.Equal(t, "2026-09-01T12:01:00Z", got.at("publishing.unpublished_since"))
	require.Equal(t, []any{}, got.at("partitions"))
	b.do(t, call{method: http.MethodGet, path: "/readyz"}).is(http.StatusOK)
}
