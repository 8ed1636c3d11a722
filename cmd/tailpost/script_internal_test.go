package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/relay/signature"
)

// scriptCommands are what scripts can do beside running programs.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":    exits,
		"await":    await,
		"database": database,
		"sql":      sql,
		"sqlfile":  sqlFile,
		"port":     port,
		"send":     send,
		"chomp":    chomp,
	}
}

// exits CODE COMMAND ARGUMENT...: runs a command and checks its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// await COMMAND ARGUMENT...: runs a command again and again until it succeeds.
func await(ts *testscript.TestScript, _ bool, args []string) {
	const patience = 60 * time.Second
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("not within %s: %v", patience, err)
		}
	}
}

// database: makes an empty database, sets DATABASE_URL to it, and SLOT to the name of a slot.
func database(ts *testscript.TestScript, _ bool, _ []string) {
	t, ok := ts.Value(testKey{}).(testing.TB)
	if !ok {
		ts.Fatalf("the script has no testing.TB")
	}
	db := pgtest.NewDB(t)
	ts.Setenv("DATABASE_URL", db.URL)
	const longest = 54 // of a slot's name; what makes it unique stands at its end
	ts.Setenv("SLOT", db.Slot()[max(0, len(db.Slot())-longest):])
}

type testKey struct{}

// sql STATEMENT: prints the rows, a line each, columns separated by " | ".
func sql(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, args[0], pgx.QueryExecModeSimpleProtocol)
	ts.Check(err)
	for rows.Next() {
		var cells []string
		for _, raw := range rows.RawValues() {
			cells = append(cells, string(raw))
		}
		fmt.Fprintln(ts.Stdout(), strings.Join(cells, " | "))
	}
	ts.Check(rows.Err())
}

// sqlfile FILE: runs a script.
func sqlFile(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, ts.ReadFile(args[0]))
	ts.Check(err)
}

// port NAME: sets NAME to a free port.
func port(ts *testscript.TestScript, _ bool, args []string) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	_, number, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], number)
}

// send PORT ID FILE: POSTs the file signed with $TAILPOST_SECRET and prints the status; waits for
// the receiver to listen.
func send(ts *testscript.TestScript, _ bool, args []string) {
	signer, err := signature.NewSigner(ts.Getenv(secretVariable))
	ts.Check(err)
	body := ts.ReadFile(args[2])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:"+args[0], strings.NewReader(body))
		ts.Check(err)
		req.Header = signer.Sign(args[1], time.Now(), []byte(body))
		res, err := http.DefaultClient.Do(req)
		if errors.Is(err, syscall.ECONNREFUSED) {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		ts.Check(err)
		_, err = io.Copy(io.Discard, res.Body)
		ts.Check(err)
		ts.Check(res.Body.Close())
		fmt.Fprintln(ts.Stdout(), res.StatusCode)
		return
	}
}

// chomp FILE...: removes the newline that a script's files end with.
func chomp(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		content := strings.TrimSuffix(ts.ReadFile(name), "\n")
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(content), 0o600))
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":               "plain",
		"a\x1b[31mred":        `a\x1b[31mred`,
		"c1 \u009b31m":        `c1 \u009b31m`,
		"line\nbreak\ttab":    `line\nbreak\ttab`,
		"bidi \u202e reverse": `bidi \u202e reverse`,
		"żółć €":              "żółć €",
		"12345678901":         "1234567890…",
	} {
		limit := 100
		if strings.HasPrefix(in, "1") {
			limit = 10
		}
		require.Equal(t, want, printable(in, limit))
	}
}

func TestResultThatCannotBeWrittenIsAFailure(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"tailpost", "version"}, func(string) string { return "" }, nil, brokenWriter{}, &stderr)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "tailpost: write the result: disk full\n", stderr.String())
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }
