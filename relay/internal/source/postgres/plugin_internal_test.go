package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
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
		`"a"",b", pgoutput`:              {`a",b`, "pgoutput"},
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
	require.False(t, refusesPlugin(&pgconn.PgError{Code: "42704", Detail: "output_plugin_libraries"}))
	err := refusedPlugin("output_plugin_libraries does not name it", nil)
	require.ErrorIs(t, err, ErrSetup)
	require.ErrorContains(t, err, "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput', …; as a superuser", "what else it has is kept")
	err = refusedPlugin("it is not", []string{"it's", "two, names", `"pgoutput"`, "wal2json"})
	require.ErrorContains(t, err, "output_plugin_libraries = 'pgoutput', 'it''s', 'wal2json'; as a superuser", "what others use is kept")
}

// serving is a session with a server that gives one answer to all questions. Servers that have the
// setting are those of August 2026 and later.
func serving(t *testing.T, answer ...pgproto3.BackendMessage) *session {
	t.Helper()
	ours, theirs := net.Pipe()
	backend := pgproto3.NewBackend(theirs, theirs)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			return
		}
		backend.Send(&pgproto3.AuthenticationOk{})
		for {
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if backend.Flush() != nil {
				return
			}
			if msg, err := backend.Receive(); err != nil {
				return
			} else if _, query := msg.(*pgproto3.Query); !query {
				return
			}
			for _, msg := range answer {
				backend.Send(msg)
			}
		}
	}()
	cfg, err := pgconn.ParseConfig("postgres://u@127.0.0.1/d?sslmode=disable")
	require.NoError(t, err)
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = theirs.Close()
		<-served
		_ = conn.Close(context.WithoutCancel(t.Context()))
	})
	return &session{conn: conn}
}

func TestWhetherTheServerAllowsOurPlugin(t *testing.T) {
	t.Parallel()
	row := func(libraries []byte) []pgproto3.BackendMessage {
		return []pgproto3.BackendMessage{
			&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("libraries")}}},
			&pgproto3.DataRow{Values: [][]byte{libraries}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
		}
	}
	refused := &pgconn.PgError{Code: "42501", Hint: `add it to "output_plugin_libraries"`}
	for name, test := range map[string]struct {
		answer []pgproto3.BackendMessage
		hidden bool
		want   string // of the error of the check; empty: none
		setup  bool
		mends  string // of what follows a refusal
	}{
		"no such setting": {answer: row(nil), mends: "does not name it, so"},
		"named":           {answer: row([]byte("test_decoding, pgoutput")), mends: "does not name it, so"},
		"not named":       {answer: row([]byte("wal2json")), want: `"wal2json"`, setup: true, mends: "= 'pgoutput', 'wal2json'; as"},
		"empty":           {answer: row([]byte("")), want: `is ""`, setup: true, mends: "= 'pgoutput'; as"},
		"may not be read": {answer: []pgproto3.BackendMessage{&pgproto3.ErrorResponse{Code: "42501"}}, hidden: true, mends: "= 'pgoutput', …; as"},
		"another error":   {answer: []pgproto3.BackendMessage{&pgproto3.ErrorResponse{Code: "57014"}}, want: "read output_plugin_libraries", mends: "= 'pgoutput', …; as"},
	} {
		s := serving(t, test.answer...)
		hidden, err := checkPlugin(t.Context(), s)
		require.Equal(t, test.hidden, hidden, name)
		require.Equal(t, test.setup, errors.Is(err, ErrSetup), name)
		if test.want == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, test.want, name)
		}
		err = pluginError(t.Context(), s, refused)
		require.ErrorIs(t, err, ErrSetup, name)
		require.ErrorIs(t, err, refused, name)
		require.ErrorContains(t, err, test.mends, name)
		require.NoError(t, pluginError(t.Context(), s, &pgconn.PgError{Code: "42501", Message: "must be replication role"}), name)
	}
}
