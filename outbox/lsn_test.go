package outbox_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

func TestLSNIsPrintedAsPostgresDoes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, l := range []outbox.LSN{0, 1, 0xABCDEF, 0x16B374D848, 0xFFFFFFFFFFFFFFFF} {
		var printed string
		require.NoError(t, b.conn.QueryRow(t.Context(), fmt.Sprintf("SELECT pg_lsn('0/0') + %d::numeric", uint64(l))).Scan(&printed))
		require.Equal(t, printed, l.String())
	}
}
