package postgres

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two replicas that start together come upon such a slot; one that took it for another program's
// would end.
func TestASlotThatIsBeingCreatedIsNotForeign(t *testing.T) {
	t.Parallel()
	ours := record{"slot_type": "logical", "plugin": "pgoutput", "database": "app", "temporary": "f", "two_phase": "false"}
	for name, test := range map[string]struct {
		change  record
		foreign string
	}{
		"ours":                      {},
		"before it has a plugin":    {change: record{"plugin": ""}},
		"physical":                  {record{"slot_type": "physical", "plugin": ""}, "a physical slot"},
		"of another plugin":         {record{"plugin": "test_decoding"}, `made for output plugin "test_decoding"`},
		"of another database":       {record{"database": "other"}, `made in database "other"`},
		"begun in another database": {record{"database": "other", "plugin": ""}, `made in database "other"`},
		"temporary":                 {record{"temporary": "t"}, "temporary"},
		"two_phase":                 {record{"two_phase": "true"}, "made with two_phase"},
	} {
		row := maps.Clone(ours)
		maps.Copy(row, test.change)
		require.Equal(t, test.foreign, foreign(row, "app"), name)
	}
	begun := &slot{begun: true}
	require.True(t, begun.held(), "whoever creates it shows only later")
	err := (&session{}).heldByAnother(t.Context(), begun)
	require.ErrorIs(t, err, ErrSlotActive)
	require.ErrorIs(t, err, ErrSlotUnready)
}
