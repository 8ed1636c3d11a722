package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
)

// spy is a test that only notes what is said of it.
type spy struct {
	*testing.T

	said string
}

func (s *spy) Errorf(format string, args ...any) { s.said += fmt.Sprintf(format, args...) }

// TestCopiesShareWhatIsPreparedOnce: tests that want one at the same time have it prepared once,
// and what one does to its copy no other sees. One that could not be prepared is tried again, and
// one of another version is another.
func TestCopiesShareWhatIsPreparedOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	version := db.Name[len(db.Name)-12:]
	outer := db.Conn(t)
	t.Cleanup(func() {
		_, err := outer.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE tailpost_original_"+version)
		require.NoError(t, err)
	})
	var prepared atomic.Int64
	prepare := func(ctx context.Context, conn *pgx.Conn) error {
		if prepared.Add(1) == 1 {
			return errors.New("it could not be prepared")
		}
		_, err := conn.Exec(ctx, "CREATE TABLE n AS SELECT 1 AS n")
		return err
	}
	t.Run("fails", func(t *testing.T) {
		failed := &spy{T: t}
		pgtest.NewCopy(failed, version, prepare)
		require.Contains(t, failed.said, "it could not be prepared")
	})
	for range 4 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			conn := pgtest.NewCopy(t, version, prepare).Conn(t)
			_, err := conn.Exec(t.Context(), "INSERT INTO n VALUES (2)")
			require.NoError(t, err)
			require.Equal(t, 2, count(t, conn, "SELECT count(*) FROM n"))
			require.EqualValues(t, 2, prepared.Load())
		})
	}
}
