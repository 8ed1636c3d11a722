package integration_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/relay/signature"
)

// exampleBundle runs an example as its README says, on a server of its own: examples use the slot
// that their configuration names.
type exampleBundle struct {
	db     *kit.Database
	dir    string
	config string // path of a copy with the receivers' real addresses
	env    map[string]string
}

const listening = `listening on (http://127\.0\.0\.1:\d+)`

func TestExamples(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })

	setup := func(t *testing.T, name string) *exampleBundle {
		t.Helper()
		database := strings.ReplaceAll(name, "-", "_")
		kit.OpenDatabase(t, server.URL("postgres"), "").Run(t, "CREATE DATABASE "+database)
		e := &exampleBundle{
			db:  kit.OpenDatabase(t, server.URL(database), ""),
			dir: filepath.Join(kit.Root(), "examples", name),
		}
		secret := signature.GenerateSecret()
		e.env = map[string]string{"DATABASE_URL": e.db.URL, "TAILPOST_SECRET": secret, "WEBHOOK_SECRET": secret}
		e.check(t)
		return e
	}

	t.Run("quickstart", func(t *testing.T) {
		e := setup(t, "quickstart")
		e.tailpost(t, "migrate", "-c", filepath.Join(e.dir, "tailpost.hcl"))
		listen := e.listen(t)
		relay := e.run(t)
		e.script(t, "quickstart.sql")

		line := listen.AwaitMatch(t, `(?m)^.*order\.created.*$`)[0]
		require.Contains(t, line, "verified")
		require.Contains(t, line, "120.50")
		attempts := e.db.AwaitAttempts(t, "local", 1)
		require.Equal(t, "delivered", attempts[0].Outcome)
		require.Equal(t, 1, e.db.Count(t, "SELECT count(*) FROM outbox"))
		require.Zero(t, relay.Stop(t))
		require.NotContains(t, listen.Stdout(), "bob", "what was rolled back was heard of")
		require.Len(t, kit.Lines(listen.Stdout()), 1)
		require.Zero(t, listen.Stop(t))
	})

	t.Run("existing-table", func(t *testing.T) {
		e := setup(t, "existing-table")
		e.script(t, "schema.sql")
		e.tailpost(t, "migrate", "-c", filepath.Join(e.dir, "tailpost.hcl"))
		require.Zero(t, e.db.Count(t, "SELECT count(*) FROM pg_class WHERE relname = 'outbox'"))
		listen := e.listen(t)
		relay := e.run(t)
		e.script(t, "insert.sql")

		for _, id := range []string{"1", "2"} {
			line := listen.AwaitMatch(t, `(?m)^.* `+id+`  verified.*$`)[0]
			require.Contains(t, line, `{"order":7,"total":120.50}`)
		}
		e.db.AwaitAttempts(t, "orders", 2)
		require.Equal(t, 2, e.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE tenant = '6f1c2a9e-58a4-4a52-8b0e-0d1f6a1c9d11'"))
		require.Zero(t, relay.Stop(t))
		require.Len(t, kit.Lines(listen.Stdout()), 2, "the invoice is not an order")
		require.Zero(t, listen.Stop(t))
	})

	t.Run("go-app", func(t *testing.T) {
		e := setup(t, "go-app")
		e.env["ADDRESS"], e.env["PORT"] = "127.0.0.1:0", "0"
		receivers := map[string]*kit.Process{"4001": e.program(t, "go-receiver"), "4002": e.nodeReceiver(t)}
		for port, receiver := range receivers {
			address := receiver.AwaitMatch(t, listening)[1]
			e.replace(t, "http://127.0.0.1:"+port, address)
			requireRefusesForgery(t, address+"/webhooks")
		}
		app := e.program(t, "go-app")
		orders := app.AwaitMatch(t, listening)[1] + "/orders"
		e.tailpost(t, "migrate", "-c", e.config)
		relay := e.run(t)

		require.Equal(t, http.StatusCreated, post(t, orders, `{"customer": "ada", "total": 120.5}`))
		require.Equal(t, http.StatusUnprocessableEntity, post(t, orders, `{"customer": "bob", "total": -1}`))
		require.Equal(t, http.StatusBadRequest, post(t, orders, `{`))
		require.Equal(t, http.StatusCreated, post(t, orders, `{"customer": "eve", "total": 3}`))

		receivers["4001"].AwaitMatch(t, `order\.created \S+ \{"id": 1, "total": 120\.5, "customer": "ada"\}`)
		receivers["4001"].AwaitMatch(t, `order\.created \S+ \{"id": \d, "total": 3, "customer": "eve"\}`)
		receivers["4002"].AwaitMatch(t, `order\.created \S+ \{"order":1,"total":120\.5\}`)
		receivers["4002"].AwaitMatch(t, `order\.created \S+ \{"order":\d,"total":3\}`)
		e.db.AwaitCount(t, 4, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
		require.Zero(t, relay.Stop(t))
		for _, receiver := range receivers {
			require.Len(t, kit.Lines(receiver.Stdout()), 3, "where it listens, and each order that was placed")
		}
		require.Zero(t, app.Stop(t))
		require.Zero(t, receivers["4001"].Stop(t))
	})
}

// check checks the configuration as it is committed, and that it is formatted.
func (e *exampleBundle) check(t *testing.T) {
	t.Helper()
	committed := filepath.Join(e.dir, "tailpost.hcl")
	e.tailpost(t, "check", "-c", committed)
	e.tailpost(t, "fmt", "--check", committed)
	text, err := os.ReadFile(committed)
	require.NoError(t, err)
	e.config = filepath.Join(t.TempDir(), "tailpost.hcl")
	kit.WriteFile(t, e.config, string(text))
}

// replace changes the configuration's copy, where ports must be free ones.
func (e *exampleBundle) replace(t *testing.T, old, replacement string) {
	t.Helper()
	rewrite(t, e.config, old, replacement)
}

// rewrite replaces in a file what must be there.
func rewrite(t *testing.T, path, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	kit.WriteFile(t, path, strings.ReplaceAll(string(text), old, replacement))
}

func (e *exampleBundle) tailpost(t *testing.T, args ...string) {
	t.Helper()
	done := kit.Run(t, kit.Command{Args: args, Env: e.env, Dir: e.dir})
	require.Zero(t, done.ExitCode(), done.Output())
}

// listen runs `tailpost listen` at a free port and sends the example's requests there.
func (e *exampleBundle) listen(t *testing.T) *kit.Process {
	t.Helper()
	p := kit.Start(t, kit.Command{Path: kit.Binary(t), Args: []string{"listen", "--port", "0"}, Env: e.env})
	e.replace(t, "http://127.0.0.1:4000", p.AwaitMatch(t, listening)[1])
	return p
}

func (e *exampleBundle) run(t *testing.T) *kit.Relay {
	t.Helper()
	relay := kit.StartRelay(t, kit.Options{Path: e.config, Config: kit.Config{DatabaseURL: e.db.URL}, Env: e.env, Secrets: []string{e.env["WEBHOOK_SECRET"]}})
	relay.Await(t, kit.LogDelivering, nil)
	return relay
}

// script runs a file of SQL as psql does.
func (e *exampleBundle) script(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, name))
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), e.db.URL)
	require.NoError(t, err)
	_, err = conn.PgConn().Exec(t.Context(), string(text)).ReadAll()
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func (e *exampleBundle) program(t *testing.T, name string) *kit.Process {
	t.Helper()
	return kit.Start(t, kit.Command{Path: kit.Build(t, "./examples/"+name), Env: e.env, Secrets: []string{e.env["WEBHOOK_SECRET"]}})
}

func (e *exampleBundle) nodeReceiver(t *testing.T) *kit.Process {
	t.Helper()
	dir := filepath.Join(kit.Root(), "examples", "node-receiver")
	require.NoError(t, kit.InstallNode(dir))
	return kit.Start(t, kit.Command{Path: "node", Args: []string{"receiver.mjs"}, Dir: dir, Env: e.env, Secrets: []string{e.env["WEBHOOK_SECRET"]}})
}

// requireRefusesForgery requires that a receiver takes nothing that another signed.
func requireRefusesForgery(t *testing.T, url string) {
	t.Helper()
	signer, err := signature.NewSigner(signature.GenerateSecret())
	require.NoError(t, err)
	body := `{"id": "forged", "type": "order.created", "data": {}}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header = signer.Sign("forged", time.Now(), []byte(body))
	require.Equal(t, http.StatusUnauthorized, do(t, request))
	request, err = http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, do(t, request), "unsigned")
}
