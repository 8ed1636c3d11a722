package postgres

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
)

// What has to wait for others' transactions, or reads all WAL that there is, runs under no time
// limit, whatever its connection has; what follows it does again, after an error too.
func TestWhatTakesLongHasNoTimeLimit(t *testing.T) {
	t.Parallel()
	s, err := connect(t.Context(), Options{URL: pgtest.NewDB(t).URL, ApplicationName: "test"}, func(r io.Reader) io.Reader { return r })
	require.NoError(t, err)
	t.Cleanup(func() { <-s.conn.CleanupDone() })
	t.Cleanup(func() { _ = s.conn.Close(t.Context()) })
	limits := func() record {
		rows, err := s.query(t.Context(), "SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock")
		require.NoError(t, err)
		return rows[0]
	}
	usual := limits()
	require.NotContains(t, []string{usual["statement"], usual["lock"]}, "0")
	for _, outcome := range []error{nil, io.EOF} {
		require.ErrorIs(t, s.patiently(t.Context(), func() error {
			require.Equal(t, record{"statement": "0", "lock": "0"}, limits())
			return outcome
		}), outcome)
		require.Equal(t, usual, limits())
	}
	// Decoding may have to wait for whoever locks the catalogue. A start that is refused leaves the
	// session to be asked.
	s.opts.Slot = "none"
	require.ErrorIs(t, s.startReplication(t.Context()), ErrSlotMissing)
	require.Equal(t, record{"statement": "0", "lock": "0"}, limits(), "what a stream runs under")
}
