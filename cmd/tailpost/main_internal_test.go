package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tailpost": main})
}

// TestScripts runs the commands as a user does: arguments in, streams and exit code out. A script
// per command.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands(),
		Setup: func(env *testscript.Env) error {
			env.Values[testKey{}] = env.T()
			env.Vars = append(env.Vars, kit.RaceOptions)
			return nil
		},
	})
}

// What is too much on a command line, or missing, is told before anything is done.
func TestEveryCommandCountsItsArguments(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	try := func(args ...string) (code int, stdout, stderr string) {
		var out, errors strings.Builder
		code = run(ended, append([]string{"tailpost"}, args...), func(string) string { return "" }, strings.NewReader(""), &out, &errors)
		return code, out.String(), errors.String()
	}
	var walk func(cmd *cobra.Command, path ...string)
	walk = func(cmd *cobra.Command, path ...string) {
		for _, sub := range cmd.Commands() {
			walk(sub, append(slices.Clone(path), sub.Name())...)
		}
		if len(path) == 0 || path[0] == "fmt" || path[0] == "help" {
			return // they take any number, or name commands
		}
		code, stdout, stderr := try(append(slices.Clone(path), "a", "b", "c")...)
		require.Equal(t, exitUsage, code, path)
		require.Empty(t, stdout, path)
		want, name := "no argument", strings.TrimPrefix(cmd.Use, cmd.Name()+" ")
		switch {
		case strings.HasPrefix(name, "["):
			want = "at most 1 argument"
		case strings.ToUpper(name) == name:
			want = "1 argument"
		}
		require.Equal(t, "tailpost: want "+want+", got 3\nTry: tailpost "+strings.Join(path, " ")+" --help\n", stderr)
		if want == "1 argument" {
			code, _, stderr = try(path...)
			require.Equal(t, exitUsage, code, path)
			require.Regexp(t, "^tailpost: want 1 argument, got 0\n", stderr)
		}
	}
	walk(newRootCommand(&app{}))
}

// The log is of the level and the format that the configuration says.
func TestTheLogIsAsConfigured(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"json":    `^\{"level":"warn","endpoint":"erp","time":"[^"]+","message":"b"\}\n$`,
		"console": `^\d\d:\d\d:\d\d WRN b endpoint=erp\n$`,
	} {
		var out bytes.Buffer
		log, err := newLogger(&out, config.Log{Level: "warn", Format: format})
		require.NoError(t, err)
		log.Info().Msg("a")
		log.Warn().Str("endpoint", "erp").Msg("b")
		require.Regexp(t, want, out.String())
	}
	_, err := newLogger(io.Discard, config.Log{Level: "loud"})
	require.ErrorContains(t, err, "set the log level: ")
}

// What is wrong is told with its place, as far as it has one, and with what to do.
func TestDiagnosticsAreShownWithTheirPlace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	(&app{stderr: &out}).printDiagnostics(config.Diagnostics{
		{Severity: "error", Summary: "Odd", Detail: "Do this.\nOr that."},
		{Severity: "warning", File: "a.hcl", Summary: "Old", Detail: "Do it.", Column: 3},
		{Severity: "error", File: "b.hcl", Line: 2, Column: 3, Summary: "Bad", Detail: "Stop.", Snippet: "  x = 1\n  y = 2\n"},
	})
	require.Equal(t, "tailpost: error: Odd\n  Do this.\n  Or that.\n"+
		"tailpost: a.hcl: warning: Old\n  Do it.\n"+
		"tailpost: b.hcl:2:3: error: Bad\n  |   x = 1\n  |   y = 2\n  Stop.\n", out.String())
}
