package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Only the relay that holds the slot knows it, so that a script would have to take NATS away.
func TestStatusSaysSinceWhenNATSTakesNothing(t *testing.T) {
	t.Parallel()
	var r shownRelay
	require.NoError(t, json.Unmarshal([]byte(`{"publishing": {"partitions": 1, "unpublished_since": "2026-09-01T14:00:00+02:00"}}`), &r))
	require.Equal(t, "to 1 partition: NATS has taken nothing since 2026-09-01T12:00:00Z", publishing(&r))
	r.Publishing.Partitions = 0
	require.Equal(t, "to nobody, the relay that has the slot delivers alone: NATS has taken nothing since 2026-09-01T12:00:00Z", publishing(&r))
	r.Publishing.Alone, r.Publishing.UnpublishedSince = true, nil
	require.Equal(t, "to nobody, the relay that has the slot delivers alone: NATS takes nothing, its log says why", publishing(&r))
}
