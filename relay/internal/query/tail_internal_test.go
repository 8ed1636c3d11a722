package query

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A tail that goes on where another one ended leaves out what stands before that place, as long as
// it may not have seen all of it. Then Postgres may put new rows there, and they are shown.
func TestTailDay_leavesOutNothingOnceItHasSeenAll(t *testing.T) {
	t.Parallel()
	place, before, behind := TID{Block: 7, Offset: 3}, TID{Block: 7, Offset: 1}, TID{Block: 7, Offset: 4}
	for name, test := range map[string]struct {
		look  tailLook
		floor TID
	}{
		"a part of what stood before": {tailLook{places: []TID{before}}, place},
		"all, and nothing new":        {tailLook{places: []TID{before}, whole: true}, TID{}},
		"the first that is new":       {tailLook{places: []TID{before, behind}}, TID{}},
	} {
		day := tailDay{floor: place, last: place, seen: make(map[TID]struct{})}
		day.passed(&test.look)
		require.Equal(t, test.floor, day.floor, name)
	}
}
