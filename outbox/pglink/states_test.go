package pglink_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox/pglink"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		severity, code string
		want           pglink.Verdict
		passes         bool
	}{
		{"ERROR", "40001", pglink.Transient, true},
		{"ERROR", "40P01", pglink.Transient, true},
		{"ERROR", "55P03", pglink.Transient, true},
		{"ERROR", "57014", pglink.Transient, true},
		{"ERROR", "58030", pglink.Transient, true},
		{"ERROR", "53100", pglink.Transient, true},
		{"FATAL", "53300", pglink.Lost, true},
		{"FATAL", "57P01", pglink.Lost, true},
		{"ERROR", "57P01", pglink.Lost, true},
		{"FATAL", "57P03", pglink.Lost, true},
		{"FATAL", "57P05", pglink.Lost, true},
		{"ERROR", "25006", pglink.Lost, true},
		{"ERROR", "08006", pglink.Lost, true},
		{"FATAL", "28P01", pglink.Lost, true},
		{"FATAL", "28000", pglink.Lost, false},
		{"FATAL", "3D000", pglink.Lost, false},
		{"FATAL", "08P01", pglink.Refused, false},
		{"ERROR", "26000", pglink.Refused, false},
		{"ERROR", "42P05", pglink.Refused, false},
		{"ERROR", "23505", pglink.Refused, false},
		{"ERROR", "42501", pglink.Refused, false},
		{"ERROR", "42P01", pglink.Refused, false},
		{"ERROR", "22012", pglink.Refused, false},
		{"PANIC", "XX000", pglink.Lost, false},
	} {
		err := fmt.Errorf("x: %w", &pgconn.PgError{Severity: c.severity, SeverityUnlocalized: c.severity, Code: c.code})
		require.Equal(t, c.want, pglink.Judge(err), c.code)
		require.Equal(t, c.passes, pglink.Passes(err), c.code)
		require.Equal(t, c.code, pglink.State(err))
		require.True(t, pglink.Is(err, "00000", c.code))
		require.False(t, pglink.Is(err, "00000"))
	}
	for _, network := range []error{io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: errors.New("reset")}, net.ErrClosed} {
		require.Equal(t, pglink.Lost, pglink.Judge(fmt.Errorf("x: %w", network)))
		require.True(t, pglink.Passes(fmt.Errorf("x: %w", network)))
	}
	require.False(t, pglink.Passes(errors.New("ours")))
	require.False(t, pglink.Passes(nil))
	require.Empty(t, pglink.State(errors.New("ours")))
}

func TestWhatARefusalIsOf(t *testing.T) {
	t.Parallel()
	for code, is := range map[string]struct{ noValue, refused, slow bool }{
		"22P02": {noValue: true, refused: true}, "22021": {noValue: true, refused: true}, "22P05": {noValue: true, refused: true},
		"22007": {noValue: true, refused: true}, "22008": {noValue: true, refused: true}, "22003": {noValue: true, refused: true},
		"22012": {noValue: true}, "23514": {noValue: true}, "23505": {}, "57014": {slow: true}, "55P03": {},
	} {
		err := fmt.Errorf("x: %w", &pgconn.PgError{Code: code})
		require.Equal(t, is.noValue, pglink.NoValue(err), code)
		require.Equal(t, is.refused, pglink.RefusedValue(err), code)
		require.Equal(t, is.slow, pglink.TookTooLong(err), code)
	}
	for _, other := range []error{nil, errors.New("ours")} {
		require.False(t, pglink.NoValue(other) || pglink.RefusedValue(other) || pglink.TookTooLong(other))
	}
}

func TestDescribe_hasARemedy(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"42P01": "run `tailpost migrate`", "3F000": "run `tailpost migrate`", "25006": "read-only", "28P01": "reload",
		"26000": "connection pooler", "42P05": "connection pooler", "28000": "pg_hba.conf", "3D000": "the name of the database",
		"53300": "max_connections", "55P03": "tailpost doctor",
	} {
		err := &pgconn.PgError{Severity: "ERROR", Code: code, Message: "no"}
		got := pglink.Describe(fmt.Errorf("load: %w", err))
		require.ErrorContains(t, got, want)
		require.ErrorIs(t, got, error(err))
		require.Equal(t, got.Error(), pglink.Describe(got).Error(), "said once")
	}
	for _, plain := range []error{
		errors.New("ours"), &pgconn.PgError{Code: "42501", Message: "permission denied for table outbox"},
		&pgconn.PgError{Code: "08P01", Message: "invalid frontend message"}, &pgconn.PgError{Code: "23505"},
	} {
		require.Equal(t, plain, pglink.Describe(plain), "nothing is known that helps")
	}
	require.ErrorContains(t, pglink.Describe(&pgconn.PgError{Code: "08P01", Message: "unsupported startup parameter: jit"}), "connection pooler")
	require.NoError(t, pglink.Describe(nil))
}
