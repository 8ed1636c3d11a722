package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

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
