package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// apiDocument is what clients are generated from.
func apiDocument() string {
	return filepath.Join(kit.Root(), "relay", "internal", "api", "openapi.json")
}

// copied makes a copy of an example, so that what is generated is of this run.
func copied(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join(kit.Root(), "examples", name)
	entries, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.IsDir() || entry.Name() == "schema.d.ts" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, entry.Name()))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, entry.Name()), text, 0o600))
	}
	return dir
}

// makes runs a command that makes a part of an example.
func makes(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
}

// TestClients generates the clients from the API's document of now, compiles them, and runs them
// against the API.
func TestClients(t *testing.T) {
	t.Parallel()
	t.Run("go-client", func(t *testing.T) {
		t.Parallel()
		dir := copied(t, "go-client")
		require.NoError(t, os.Mkdir(filepath.Join(dir, "tailpost"), 0o750))
		makes(t, dir, "go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", apiDocument())
		makes(t, dir, "go", "vet", "./...")
		makes(t, dir, "go", "build", "-o", "client", ".")
		useClient(t, filepath.Join(dir, "client"))
	})
	t.Run("ts-client", func(t *testing.T) {
		t.Parallel()
		dir := copied(t, "ts-client")
		require.NoError(t, kit.InstallNode(dir))
		makes(t, dir, "npx", "--no-install", "openapi-typescript", apiDocument(), "--output", "schema.d.ts")
		makes(t, dir, "npx", "--no-install", "tsc")
		useClient(t, "node", filepath.Join(dir, "dist", "client.js"))
	})
}

// useClient has a client set an endpoint up, twice, and send what the endpoint missed once more.
func useClient(t *testing.T, path string, args ...string) {
	t.Helper()
	const key = "a-key-of-the-clients-0123456789"
	db, receiver := kit.NewDatabase(t), kit.NewReceiver(t)
	c := db.Config()
	c.More = strings.Replace(kit.TenantsReachReceivers, "  network {", "  key \"client\" { secret = env(\"API_KEY\") }\n  network {", 1) +
		"secrets {\n  keys = [env(\"SEAL_KEY\")]\n}\n"
	env := map[string]string{"API_KEY": key, "SEAL_KEY": strings.Repeat("5f", 32)}
	relay := kit.StartRelay(t, kit.Options{Config: c, Env: env, Secrets: []string{key, env["SEAL_KEY"]}})
	address := fmt.Sprint("http://", relay.Await(t, "the API listens", nil)["address"])
	relay.Await(t, kit.LogDelivering, nil)
	url := receiver.On("/crm", kit.Statuses(400, 200))
	client := func(command string) string {
		done := kit.Run(t, kit.Command{
			Path: path, Args: append(append([]string{}, args...), command, "crm", url),
			Env: map[string]string{"TAILPOST_URL": address, "TAILPOST_API_KEY": key}, Secrets: []string{key},
		})
		require.Zero(t, done.ExitCode(), done.Output())
		return done.Stdout()
	}
	made := client("setup")
	id := db.Text(t, "SELECT id FROM tailpost.endpoint WHERE name = 'crm'")
	require.Equal(t, fmt.Sprintf("made %s; its secret is shown this once: keep it\n", id), made)
	require.Equal(t, id+" is as it should be, version 1\n", client("setup"))

	event := db.Insert(t, kit.Event("order.paid", `{"total": 7}`))[0]
	db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND event_id = $1", event)
	out := client("resend")
	require.Contains(t, out, fmt.Sprintf("attempt %s dead\n", event))
	require.Contains(t, out, "what was given up")
	db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered' AND event_id = $1", event)
}
