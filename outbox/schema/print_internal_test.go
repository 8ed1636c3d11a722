package schema

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A name ends no literal that it stands in, whatever standard_conforming_strings is.
func TestQuoteLiteral(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "''", "a": "'a'", "o'brien": "'o''brien'", "'": "''''", `a\b`: ` E'a\\b'`, `\'; DROP TABLE x; --`: ` E'\\''; DROP TABLE x; --'`,
	} {
		require.Equal(t, want, quoteLiteral(text))
	}
}
