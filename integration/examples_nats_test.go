package integration_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// TestTheFleetOfTheExampleIsValid checks the configuration in the environment that its README
// exports, and that it and the server's lead to the same place. The server itself is not run.
func TestTheFleetOfTheExampleIsValid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("examples", "nats")
	readme, server := readDocument(t, filepath.Join(dir, "README.md")), readDocument(t, filepath.Join(dir, "nats-server.conf"))
	env := map[string]string{
		"DATABASE_URL": "postgres://127.0.0.1/fleet", "TAILPOST_SECRET": signature.GenerateSecret(), "NATS_PASSWORD": "n0123456789abcdef",
	}
	commands := strings.Join(fenced(readme, "sh"), "\n")
	for name := range env {
		require.Contains(t, commands, "export "+name+"=")
	}
	process := container{args: []string{"run"}, env: env}
	process.requireValid(t, filepath.Join(kit.Root(), dir))
	process.requireNeedsAll(t, filepath.Join(kit.Root(), dir))

	cfg, diags := config.Load(filepath.Join(kit.Root(), dir, "tailpost.hcl"), config.Options{
		Getenv: func(name string) (string, bool) { return env[name], env[name] != "" },
	})
	require.Empty(t, diags)
	require.True(t, cfg.Fanout.Enabled())
	// What docs/scale.md asks of a server, and what logs in.
	for _, setting := range []string{
		`listen: ` + cfg.Fanout.Hosts()[0], `user: ` + cfg.Fanout.User, `password: \$NATS_PASSWORD`, `sync_interval: always`, `max_payload: 1MB`,
		`store_dir: "data"`, `max_file_store: \d+GB`,
	} {
		require.Regexp(t, `(?m)^ *`+setting+`( |$)`, server)
	}
	monitoring := regexp.MustCompile(`(?m)^http: (\S+)`).FindStringSubmatch(server)
	require.NotNil(t, monitoring)
	require.Contains(t, commands, "http://"+monitoring[1]+"/jsz", "where the README asks the server")
}
