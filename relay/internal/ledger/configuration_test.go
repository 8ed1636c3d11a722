package ledger_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// What is noted is what the last hold said last: a plan compares with nothing else.
func TestNoteConfiguration_isOfTheHoldThatHasTheSlot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	prints := func(version string) config.Fingerprints {
		return config.Fingerprints{Form: 1, Versions: map[string]string{version: "abc"}, Blocks: map[string]string{"network": "def"}}
	}
	const noted = "SELECT count(*) FROM tailpost.configuration WHERE slot = $1 AND epoch = $2 AND fingerprints -> 'versions' ? $3 AND updated_at = $4"
	slot := b.db.Slot()
	first := b.takeSlot(t, slot)
	require.NoError(t, b.ledger.NoteConfiguration(t.Context(), first, prints("one"), noon))
	require.Equal(t, 1, b.count(t, noted, slot, first.Epoch, "one", noon))
	var text string
	require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT fingerprints::text FROM tailpost.configuration").Scan(&text))
	var read config.Fingerprints
	require.NoError(t, json.Unmarshal([]byte(text), &read))
	require.Equal(t, prints("one"), read)

	later := noon.Add(time.Hour)
	require.NoError(t, b.ledger.NoteConfiguration(t.Context(), first, prints("reloaded"), later))
	require.Equal(t, 1, b.count(t, noted, slot, first.Epoch, "reloaded", later))

	second, other := b.takeSlot(t, slot), b.takeSlot(t, slot+"_b")
	require.NoError(t, b.ledger.NoteConfiguration(t.Context(), second, prints("two"), later))
	require.NoError(t, b.ledger.NoteConfiguration(t.Context(), other, prints("other"), later))
	require.NoError(t, b.ledger.NoteConfiguration(t.Context(), first, prints("deposed"), later))
	require.Equal(t, 1, b.count(t, noted, slot, second.Epoch, "two", later))
	require.Equal(t, 1, b.count(t, noted, slot+"_b", other.Epoch, "other", later))
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.configuration"))
}
