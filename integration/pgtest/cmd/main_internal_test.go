package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func empty(string) string { return "" }

func TestCommandHasAServerAndItsExitCodePasses(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--", "sh", "-c", "echo $" + pgtest.DatabaseURLVariable + "; exit 7"}, empty, strings.NewReader(""), &stdout, &stderr)
	require.Equal(t, 7, code, stderr.String())
	address := lastLine(stdout.String())
	require.Contains(t, address, "postgres://postgres@127.0.0.1:")
	_, err := pgx.Connect(t.Context(), address)
	require.Error(t, err, "the server is gone with the command")
}

func TestServerOfTheEnvironmentIsUsed(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	set := func(string) string { return "postgres://elsewhere/" }
	code := run(t.Context(), []string{"sh", "-c", "echo $" + pgtest.DatabaseURLVariable}, set, strings.NewReader(""), &stdout, &stderr)
	require.Zero(t, code, stderr.String())
	require.Equal(t, os.Getenv(pgtest.DatabaseURLVariable), lastLine(stdout.String()), "the environment is passed on as it is")
}

func TestSignalReachesTheCommand(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	code := make(chan int, 1)
	go func() {
		set := func(string) string { return "postgres://elsewhere/" }
		code <- run(ctx, []string{"sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"}, set, strings.NewReader(""), w, w)
	}()
	_, err = r.Read(make([]byte, 100))
	require.NoError(t, err)
	cancel()
	require.Equal(t, 9, <-code)
	require.NoError(t, w.Close())
}

func TestCommandReadsItsStdin(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	set := func(string) string { return "postgres://elsewhere/" }
	code := run(t.Context(), []string{"--", "sh"}, set, strings.NewReader("echo by hand\n"), &stdout, &stderr)
	require.Zero(t, code, stderr.String())
	require.Equal(t, "by hand", lastLine(stdout.String()))
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitUsage, run(t.Context(), []string{"--"}, empty, strings.NewReader(""), &stdout, &stderr))
	require.Contains(t, stderr.String(), "usage:")
	stderr.Reset()
	set := func(string) string { return "postgres://elsewhere/" }
	require.Equal(t, exitFailed, run(t.Context(), []string{"/nonexistent"}, set, strings.NewReader(""), &stdout, &stderr))
	require.Contains(t, stderr.String(), "pgtest:")
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
