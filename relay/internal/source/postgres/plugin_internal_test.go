package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// What Postgres 15.20 makes of such a list was tried.
func TestNamesOfLibrariesAreSplitAsPostgresDoes(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]string{
		"":                               {},
		"pgoutput, test_decoding":        {"pgoutput", "test_decoding"},
		"pgoutput,test_decoding ":        {"pgoutput", "test_decoding"},
		`"pgoutput, test_decoding"`:      {"pgoutput, test_decoding"},
		`"pgoutput", "a b", "say ""hi"`:  {"pgoutput", "a b", `say "hi`},
		`"""pgoutput"""`:                 {`"pgoutput"`},
		" , pgoutput,, $libdir/pgoutput": {"pgoutput", "$libdir/pgoutput"},
	} {
		require.Equal(t, want, libraryNames(list), list)
	}
}

// Both refusals have one code, and only one of them is mended by ALTER ROLE.
func TestARefusedPluginIsNoRoleWithoutTheRight(t *testing.T) {
	t.Parallel()
	refused := &pgconn.PgError{
		Code: "42501", Message: `Bibliothek »pgoutput« darf nicht als Ausgabe-Plugin verwendet werden`,
		Hint: `… add it to "output_plugin_libraries" and reload the server configuration.`,
	}
	require.True(t, refusesPlugin(fmt.Errorf("query: %w", refused)))
	require.False(t, refusesPlugin(&pgconn.PgError{Code: "42501", Message: "must be superuser or replication role"}))
	require.False(t, refusesPlugin(errors.New("output_plugin_libraries")))
	err := refusedPlugin("output_plugin_libraries does not name it", nil)
	require.ErrorIs(t, err, ErrSetup)
	require.ErrorContains(t, err, "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput', …; as a superuser", "what else it has is kept")
}

func TestServersDecodeAtALevel(t *testing.T) {
	t.Parallel()
	require.True(t, Decodes(140000, "logical"))
	require.False(t, Decodes(180006, "replica"))
	require.True(t, Decodes(190000, "replica"))
	require.False(t, Decodes(190000, "minimal"))
}
