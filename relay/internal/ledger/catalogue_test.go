package ledger_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// What differs is written, whichever part of it does, and nothing else: neither what is the same
// nor what the configuration says nothing of.
func TestDescribe_writesWhatDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	describe := func(types []config.EventType, now time.Time) int64 {
		changed, err := b.ledger.Describe(t.Context(), types, now)
		require.NoError(t, err)
		return changed
	}
	types := make([]config.EventType, 6)
	for i, name := range []string{"same", "said", "shaped", "shown", "old", "bare"} {
		types[i] = config.EventType{Name: name, Description: "It was made.", Schema: json.RawMessage(`{"type":"object"}`), Example: json.RawMessage(`{"id":1}`)}
	}
	require.EqualValues(t, 6, describe(types, noon))
	b.exec(t, "INSERT INTO tailpost.event_type (name, created_at, updated_at) VALUES ('of the API', $1, $1)", noon)
	require.Zero(t, describe(types, noon.Add(time.Hour)))

	types[1].Description, types[2].Schema, types[3].Example, types[4].Deprecated = "It was said.", json.RawMessage(`true`), json.RawMessage(`{"id": 1}`), true
	types[5].Schema, types[5].Example = nil, nil
	require.EqualValues(t, 5, describe(types, noon.Add(time.Hour)))
	require.Equal(t, []string{
		`bare 2 1h "It was made." f`,
		`of the API 1 0h "" f`,
		`old 2 1h "It was made." t {"type":"object"} {"id":1}`,
		`said 2 1h "It was said." f {"type":"object"} {"id":1}`,
		`same 1 0h "It was made." f {"type":"object"} {"id":1}`,
		`shaped 2 1h "It was made." f true {"id":1}`,
		`shown 2 1h "It was made." f {"type":"object"} {"id": 1}`,
	}, b.texts(t, `
SELECT concat_ws(' ', name, version, extract(hour FROM updated_at - created_at) || 'h', '"' || description || '"', deprecated, schema, example)
FROM tailpost.event_type
ORDER BY name`))
}

// An endpoint that the API made when there were no versions stays with the oldest one. One
// that names a version keeps it; for its own endpoints the configuration decides.
func TestPinOldest_isForWhatTheAPIMadeBeforeThereWereVersions(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	n.exec(t, `UPDATE tailpost.endpoint SET policy = '{"version": "2025-01-01"}' WHERE id = 'crm'`)
	before := n.allRows(t)
	for _, want := range []int64{1, 0} {
		pinned, err := n.ledger.PinOldest(t.Context(), "2024-01-01", noon)
		require.NoError(t, err)
		require.Equal(t, want, pinned)
		require.Equal(t, []string{"~ endpoint erp"}, changes(before, n.allRows(t)))
	}
	require.Equal(t, 1, n.count(t, `SELECT count(*) FROM tailpost.endpoint
		WHERE id = 'erp' AND policy = '{"sealed": "before", "version": "2024-01-01"}' AND version = 2 AND updated_at = $1`, noon))
}
