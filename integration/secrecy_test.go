package integration_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// private is in everything here that must not be printed, beside the secrets themselves.
const private = "PRIVATE"

// The kit looks for the secrets of every test in everything that every process prints; here is all that a relay and its
// commands may be told, in their worst moments.
func TestNothingPrintsASecretAPayloadOrAURL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := "r" + b.db.Slot
	password := private + "-password"
	b.db.Run(t, "CREATE ROLE "+role+" SUPERUSER LOGIN PASSWORD '"+password+"'")
	t.Cleanup(func() { b.dropRole(t, role) })
	address, err := url.Parse(b.db.URL)
	require.NoError(t, err)
	address.User = url.UserPassword(role, password)

	endpoint := func(id, to string) kit.Endpoint {
		return kit.Endpoint{
			ID: id, URL: to, Secret: []string{signature.GenerateSecret()},
			HCL: fast + `timeout = "200ms"` + "\n" + `headers = { Authorization = env("TOKEN") }`,
		}
	}
	path := "/" + private + "/path?token=" + private
	b.receiver.On("/"+private+"/path", kit.Respond(http.StatusInternalServerError, private+" in an answer", "X-Debug", private))
	b.receiver.On("/"+private+"/hangs", kit.Hang())
	b.receiver.On("/"+private+"/resets", kit.Reset())
	b.receiver.On("/"+private+"/moves", kit.Respond(http.StatusTemporaryRedirect, "", "Location", "/"+private+"/elsewhere"))
	b.receiver.On("/"+private+"/elsewhere", kit.Statuses(500))
	moving := endpoint("moves", b.receiver.URL("/"+private+"/moves?token="+private))
	moving.HCL += "\nredirects = 1"
	config := b.db.Config(
		endpoint("answers", b.receiver.URL(path)),
		endpoint("hangs", b.receiver.URL("/"+private+"/hangs?token="+private)),
		endpoint("resets", b.receiver.URL("/"+private+"/resets?token="+private)),
		endpoint("refuses", "http://127.0.0.1:1"+path),
		endpoint("unknown", "http://"+private+".invalid"+path),
		endpoint("speaks-tls", strings.Replace(b.receiver.URL(path), "http:", "https:", 1)),
		endpoint("guarded", "http://169.254.169.254"+path),
		moving,
	)
	config.DatabaseURL = address.String()
	env := config.Env()
	env["TOKEN"] = "Bearer " + private + "-token"
	secrets := append(config.Secrets(), private, strings.ToLower(private)+".invalid", b.receiver.URL("/"+private))

	file := writeConfig(t, config)
	for _, args := range [][]string{
		{"check"}, {"check", "--json"}, {"migrate"}, {"trigger", "order.created", "--data", `{"card": "` + private + `"}`},
	} {
		done := kit.Run(t, kit.Command{Args: append(args, "-c", file), Env: env, Secrets: secrets})
		require.Zero(t, done.ExitCode(), "%v: %s", args, done.Output())
	}

	relay := kit.StartRelay(t, kit.Options{Config: config, Path: file, Env: env, Args: []string{"--watch=false"}, Secrets: secrets})
	relay.Await(t, kit.LogDelivering, nil)
	b.db.Insert(t, kit.Event("order.created", `{"card": "`+private+`"}`))
	for _, e := range config.Endpoints {
		b.db.AwaitAttempts(t, e.ID, 3)
	}

	// A table that no longer fits, with a payload that the stream brings all the same.
	b.db.Run(t, "ALTER TABLE outbox RENAME COLUMN payload TO content")
	b.db.Run(t, `INSERT INTO outbox (type, content) VALUES ('order.created', '{"card": "`+private+`"}')`)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'invalid'")

	// A configuration that is wrong right where the secrets are.
	for n, wrong := range []string{
		strings.Replace(config.HCL(), `secret = env(`, `secret = en(`, 1),
		strings.Replace(config.HCL(), `env("TOKEN")`, `"`+"a\\nb"+`"`, 1),
		config.HCL() + "\nendpoint \"more\" {\n  url = \"https://example.com\"\n  secret = env(\"TOKEN\")\n}\n",
	} {
		relay.Reload(t, wrong)
		relay.AwaitNth(t, n+1, "configuration not reloaded: it is invalid, the old one stays", nil)
	}

	b.db.Run(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
	relay.AwaitNth(t, 2, kit.LogDelivering, nil)
	relay.Signal(t, syscall.SIGTERM)
	require.Zero(t, relay.Wait(t, kit.Patience))

	// Where the password is wrong, and where the database is not.
	for _, wrong := range []string{
		strings.Replace(address.String(), b.db.Slot, "nowhere", 1), "postgres://" + private + ":" + private + "@127.0.0.1:1/" + private,
		private + "://", "host=" + private + ".invalid password=" + private,
	} {
		env["DATABASE_URL"] = wrong
		failed := kit.Run(t, kit.Command{
			Args: []string{"migrate", "-c", filepath.Clean(file)}, Env: env, Secrets: append(secrets, wrong),
		})
		require.NotZero(t, failed.ExitCode(), failed.Output())
	}

	// The ledger keeps payloads where it must, to send them again; errors never quote them.
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE error LIKE '%"+private+"%'"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE last_error LIKE '%"+private+"%'"))
	for _, e := range config.Endpoints {
		for _, table := range []string{"endpoint", "attempt", "delivery", "endpoint_stats", "relay"} {
			require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost."+table+" AS r WHERE r::text LIKE '%' || $1 || '%'", e.Secret[0]), table)
		}
	}
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint AS r WHERE r::text LIKE '%-token%'"))
}

// dropRole drops a role once nobody is logged in with it.
func (b *testBundle) dropRole(t *testing.T, role string) {
	t.Helper()
	conn := kit.Connect(t, b.db.URL)
	for _, statement := range []string{"REASSIGN OWNED BY " + role + " TO CURRENT_USER", "DROP OWNED BY " + role, "DROP ROLE " + role} {
		_, err := conn.Exec(kit.Detached(t), statement)
		require.NoError(t, err)
	}
}
