package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgserver"
)

// TestInitSaysThatTheServerDoesNotDecodeItsLog, and what to do, before the first start fails of it.
func TestInitSaysThatTheServerDoesNotDecodeItsLog(t *testing.T) {
	t.Parallel()
	settings := pgserver.FastSettings()
	settings["wal_level"] = "replica"
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	require.NoError(t, writeFirstConfig(t.Context(), a, &initAnswers{
		dir: t.TempDir(), noInput: true, databaseURL: server.URL("postgres"), endpointURL: defaultEndpoint,
	}))
	require.Contains(t, stderr.String(), "ALTER SYSTEM SET wal_level = logical")
	require.Contains(t, stdout.String(), "tailpost run", "it is written all the same")
}
