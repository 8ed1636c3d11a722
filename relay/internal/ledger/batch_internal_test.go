package ledger

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a batch has beside the frontier is recorded, each part for itself: a batch without rows
// may be left out.
func TestBatch_hasRowsWhateverPartItHas(t *testing.T) {
	t.Parallel()
	require.False(t, (&Batch{Settled: 7, Passing: true}).rows())
	parts := reflect.TypeFor[Batch]()
	seen := 0
	for i := range parts.NumField() {
		field := parts.Field(i)
		if field.Type.Kind() != reflect.Slice {
			continue
		}
		seen++
		var b Batch
		reflect.ValueOf(&b).Elem().Field(i).Set(reflect.MakeSlice(field.Type, 1, 1))
		require.True(t, b.rows(), field.Name)
	}
	require.GreaterOrEqual(t, seen, 8)
}
