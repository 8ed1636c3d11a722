package outbox

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNewID(t *testing.T) {
	t.Parallel()

	t.Run("is a UUIDv7 of its time", func(t *testing.T) {
		t.Parallel()
		form := regexp.MustCompile(`^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
		// The time of RFC 9562's example (A.6).
		for range 50 { // most of it is random
			require.Regexp(t, form, newID(time.UnixMilli(1645557742000)))
		}
	})
	t.Run("sorts by time", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			at := time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "at"))
			later := at.Add(time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(time.Hour)).Draw(t, "gap")))
			if a, b := newID(at), newID(later); a >= b {
				t.Fatalf("%s is not before %s", a, b)
			}
		})
	})
	t.Run("is unique", func(t *testing.T) {
		t.Parallel()
		now := time.Now()
		seen := make(map[string]bool)
		for range 1000 {
			seen[newID(now)] = true
		}
		require.Len(t, seen, 1000)
	})
}
