package integration_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// private is in everything here that must not be printed, beside the secrets themselves.
const private = "PRIVATE"

// The kit looks for the secrets of every test in everything that every process prints; here is all
// that a relay and its commands may be told, in their worst moments.
func TestNothingPrintsASecretAPayloadOrAURL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := "r" + b.db.Slot
	password := private + "-password"
	b.db.Run(t, "CREATE ROLE "+role+" SUPERUSER LOGIN PASSWORD '"+password+"'")
	t.Cleanup(func() { dropRole(t, b, role) })
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
		config.HCL() + "\nendpoint \"more\" {\n  url = \"http://169.254.169.254" + path + "\"\n  secret = \"" + private + "\"\n}\n",
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
		private + "://", "host=database.invalid user=" + private + " password=" + private + " dbname=" + private,
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
	kit.AssertNowhere(t, append(config.Secrets(), env["TOKEN"], "token="+private), b.db.Everything(t))
}

// A URL that came from the environment is a secret as a whole: what is written down has its scheme
// and host alone.
func TestAURLFromTheEnvironmentIsNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secret := "t0ken-in-the-path"
	b.receiver.On("/"+secret, kit.Statuses(500, 200))
	config := b.db.Config(kit.Endpoint{ID: "erp", Secret: []string{signature.GenerateSecret()}, HCL: fast + "\nurl = env(\"ERP_URL\")"})
	env := config.Env()
	env["ERP_URL"] = b.receiver.URL("/" + secret + "?key=" + secret)
	relay := kit.StartRelay(t, kit.Options{Config: config, Env: env, Secrets: []string{secret}})
	relay.Await(t, kit.LogDelivering, nil)
	b.receiver.AwaitIDs(t, "/"+secret, b.db.Insert(t, kit.Event("order.created", `{}`))...)
	b.db.AwaitAttempts(t, "erp", 2)
	kit.AssertNowhere(t, []string{secret}, b.db.Everything(t))
	require.Equal(t, b.receiver.URL("/[redacted]"), b.db.Text(t, "SELECT DISTINCT url FROM tailpost.attempt"))
	require.Equal(t, b.receiver.URL("/[redacted]"), b.db.Text(t, "SELECT url FROM tailpost.endpoint"))
}

// dropRole drops a role once nobody is logged in with it.
func dropRole(t *testing.T, b *testBundle, role string) {
	t.Helper()
	conn := kit.Connect(t, b.db.URL)
	for _, statement := range []string{"REASSIGN OWNED BY " + role + " TO CURRENT_USER", "DROP OWNED BY " + role, "DROP ROLE " + role} {
		_, err := conn.Exec(kit.Detached(t), statement)
		require.NoError(t, err)
	}
}

// caller asks the API of a relay.
type caller struct {
	address string
	key     string
	told    map[string]string // what may be told to nobody: the answers, by request
}

// ask sends a request and returns its answer; shows says that it may show a secret, this once.
func (c *caller) ask(t *testing.T, method, path string, body any, shows bool) (status int, answer map[string]any) {
	t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(t, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.address+path, bytes.NewReader(text))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	if !shows {
		c.told[fmt.Sprintf("the answer to %s %s", method, path)] += fmt.Sprint(res.Header) + string(text)
	}
	_ = json.Unmarshal(text, &answer) // a list or a page is of no use here
	return res.StatusCode, answer
}

// everyGet asks for all that the API's document has, with these parameters in the paths.
func (c *caller) everyGet(t *testing.T, parameters map[string]string) {
	t.Helper()
	_, document := c.ask(t, http.MethodGet, "/openapi.json", nil, false)
	paths, ok := document["paths"].(map[string]any)
	require.True(t, ok)
	asked := 0
	for path, methods := range paths {
		if operations, _ := methods.(map[string]any); operations["get"] == nil {
			continue
		}
		if strings.HasSuffix(path, "/stream") {
			continue // it ends with its reader
		}
		for prefix, id := range parameters {
			path = strings.Replace(path, prefix, id, 1)
		}
		require.NotContains(t, path, "{", "a parameter that the test does not know")
		status, _ := c.ask(t, http.MethodGet, path, nil, false)
		require.Equal(t, http.StatusOK, status, path)
		asked++
	}
	require.Greater(t, asked, 10)
}

// TestSecretsAreNowhereElse uses every kind of secret there is, by configuration and API, and looks
// for each in the whole database, in what the relay prints, in its arguments, and in every answer
// but those that show it once.
func TestSecretsAreNowhereElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := "r" + b.db.Slot
	secrets := []string{"password-" + rand.Text(), "key-of-the-api-" + rand.Text(), "Bearer " + rand.Text(), "Bearer " + rand.Text()}
	password, apiKey, configured, made := secrets[0], secrets[1], secrets[2], secrets[3]
	sum := sha256.Sum256([]byte(rand.Text()))
	sealing := hex.EncodeToString(sum[:])
	pair, _ := signature.GenerateKeyPair()
	own := []string{signature.GenerateSecret(), pair}
	b.db.Run(t, "CREATE ROLE "+role+" SUPERUSER LOGIN")
	b.db.Run(t, "ALTER ROLE "+role+" PASSWORD '"+password+"'")
	t.Cleanup(func() { dropRole(t, b, role) })
	address, err := url.Parse(b.db.URL)
	require.NoError(t, err)
	address.User = url.UserPassword(role, password)

	b.receiver.On("/fails", kit.Respond(http.StatusInternalServerError, "no"))
	config := b.db.Config(
		b.endpoint("erp", `headers = { Authorization = env("TOKEN") }`), b.endpoint("fails", fast+`headers = { Authorization = env("TOKEN") }`),
	)
	config.DatabaseURL = address.String()
	config.More = `
metrics { listen = "127.0.0.1:0" }
secrets { keys = [env("SEALING")] }
api {
  listen = "127.0.0.1:0"
  key "admin" { secret = env("API_KEY") }
  network {
    allow      = ["127.0.0.0/8"]
    allow_http = true
  }
}`
	relay := kit.StartDelivering(t, kit.Options{
		Config: config, Env: map[string]string{"TOKEN": configured, "SEALING": sealing, "API_KEY": apiKey},
	})
	listens, ok := relay.Await(t, "the API listens", nil)["address"].(string)
	require.True(t, ok)
	api := &caller{address: listens, key: apiKey, told: map[string]string{}}
	secrets = append(append(secrets, sealing), append(own, config.Secrets()[1:]...)...)
	api.endpoints(t, b, own, made, func(shown string) { secrets = append(secrets, shown) })

	ids := b.db.Insert(t, kit.Event("order.paid", `{}`))
	b.db.AwaitAttempts(t, "fails", 3)
	b.db.AwaitCount(t, 5, "SELECT count(DISTINCT endpoint_id) FROM tailpost.attempt WHERE trigger = 'stream'")
	_, list := api.ask(t, http.MethodGet, "/v1/endpoints?source=api", nil, false)
	data, _ := list["data"].([]any)
	require.Len(t, data, 3)
	first, _ := data[0].(map[string]any)
	endpoint := fmt.Sprint(first["id"])
	_, replay := api.ask(t, http.MethodPost, "/v1/replays", map[string]any{"endpoint_id": endpoint}, false)
	_, resend := api.ask(t, http.MethodPost, "/v1/deliveries/resend", map[string]any{"endpoint_id": endpoint}, false)
	api.ask(t, http.MethodPut, "/v1/event-types/order.paid", map[string]any{"description": "paid"}, false)
	api.everyGet(t, map[string]string{
		"/endpoints/{id}": "/endpoints/" + endpoint, "/events/{id}": "/events/" + ids[0], "{name}": "order.paid",
		"/replays/{id}": fmt.Sprintf("/replays/%v", replay["id"]), "/resends/{id}": fmt.Sprintf("/resends/%v", resend["id"]),
	})
	api.ask(t, http.MethodDelete, "/v1/endpoints/"+endpoint, nil, false)

	places := api.told
	places["the arguments"] = relay.Arguments(t)
	maps.Copy(places, b.db.Everything(t))
	require.Zero(t, relay.Stop(t))
	places["the log"] = relay.Output()
	kit.AssertNowhere(t, secrets, places)
	require.NotEmpty(t, places["table tailpost.audit"])
	require.NotEmpty(t, places["table tailpost.endpoint_version"])
	for _, header := range []string{configured, made} {
		require.True(t, slices.ContainsFunc(b.receiver.Requests(""), func(r kit.Request) bool { return r.Header.Get("Authorization") == header }))
	}
}

// endpoints makes and changes endpoints and keys with secrets, and is refused some; note gets those
// that an answer shows.
func (c *caller) endpoints(t *testing.T, b *testBundle, own []string, header string, note func(string)) {
	t.Helper()
	headers := map[string]any{"Authorization": header}
	for n, secret := range append([]string{""}, own...) {
		body := map[string]any{"url": b.receiver.URL(fmt.Sprintf("/made/%d", n)), "headers": headers}
		if secret != "" {
			body["secret"] = secret
		}
		status, answer := c.ask(t, http.MethodPost, "/v1/endpoints", body, true)
		require.Equal(t, http.StatusCreated, status, answer)
		path := fmt.Sprintf("/v1/endpoints/%v", answer["id"])
		note(fmt.Sprint(answer["secret"]))
		_, answer = c.ask(t, http.MethodPost, path+"/rotate-secret", nil, true)
		note(fmt.Sprint(answer["secret"]))
		for _, request := range []struct {
			method, path string
			body         any
			status       int
		}{
			{http.MethodPatch, path, map[string]any{"name": "renamed"}, http.StatusOK},
			{http.MethodPatch, path, map[string]any{"headers": headers}, http.StatusOK},
			{http.MethodPut, path, map[string]any{"url": b.receiver.URL("/made"), "headers": map[string]string{"Authorization": "[redacted]"}}, http.StatusOK},
			{http.MethodPost, path + "/test", nil, http.StatusOK},
			{http.MethodPost, path + "/pause", nil, http.StatusOK},
			{http.MethodPost, path + "/resume", nil, http.StatusOK},
			{http.MethodPatch, path, map[string]any{"headers": map[string]any{"Authorization": header + "\n"}}, http.StatusUnprocessableEntity},
			{http.MethodPatch, path, map[string]any{"headers": map[string]any{"Authorization": []string{header}}}, http.StatusUnprocessableEntity},
			{http.MethodPatch, path, map[string]any{"headers": header}, http.StatusUnprocessableEntity},
			{http.MethodPost, "/v1/endpoints", map[string]any{"url": "https://a.example", "secret": own[0] + "?"}, http.StatusUnprocessableEntity},
			{http.MethodPost, path + "/rotate-secret", map[string]any{"secret": []string{own[0]}}, http.StatusUnprocessableEntity},
		} {
			status, answer = c.ask(t, request.method, request.path, request.body, false)
			require.Equal(t, request.status, status, "%s %s: %v", request.method, request.path, answer)
		}
	}
	_, answer := c.ask(t, http.MethodPost, "/v1/keys", map[string]any{"name": "another"}, true)
	note(fmt.Sprint(answer["secret"]))
	c.key = fmt.Sprint(answer["secret"])
}

// TestNothingPrintsTheSecretsOfAFanout has a canary in each of its secrets, in turn, and gives it
// to the commands that read it, to a relay that refuses it, and to one that leaves it to a restart.
func TestNothingPrintsTheSecretsOfAFanout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	env := config.Env()
	env["CANARY"] = "canary-" + rand.Text()
	env["NATS_URL"] = "nats://tailpost:" + env["CANARY"] + "@n1.invalid,tls://" + env["CANARY"] + "@n2.invalid:4223"
	secrets := []string{env["CANARY"]}
	dir := t.TempDir()
	kit.WriteFile(t, filepath.Join(dir, "nats.creds"), "-----BEGIN NATS USER JWT-----\n"+env["CANARY"]+"\n------END NATS USER JWT------\n"+
		"-----BEGIN USER NKEY SEED-----\n"+env["CANARY"]+"\n------END USER NKEY SEED------\n")

	relay := kit.StartDelivering(t, kit.Options{Config: config, Env: env, Args: []string{"--watch=false"}, Secrets: secrets})
	refused, restart := 0, 0
	for name, lines := range map[string]string{
		"url":         `url = env("NATS_URL")`,
		"credentials": "url = \"nats://n1.invalid\"\n credentials = file(\"" + filepath.Join(dir, "nats.creds") + "\")",
		"token":       "url = \"nats://n1.invalid\"\n token = env(\"CANARY\")",
		"password":    "url = \"nats://n1.invalid\"\n user = \"u\"\n password = env(\"CANARY\")",
		"a literal":   "url = \"nats://n1.invalid\"\n user = \"u\"\n password = \"" + env["CANARY"] + "\"",
		"a URL":       `url = "` + env["NATS_URL"] + `"`,
	} {
		good := config.HCL() + "\nfanout \"nats\" {\n " + lines + "\n}\n"
		wrong := config.HCL() + "\nfanout \"nat\" {\n replicas = env(\"CANARY\")\n partitions = 0\n ca = env(\"CANARY\")\n " + lines + " + 1\n}\n"
		for text, code := range map[string]int{good: 0, wrong: 3} {
			path := filepath.Join(t.TempDir(), "tailpost.hcl")
			kit.WriteFile(t, path, text)
			for _, args := range [][]string{{"check"}, {"check", "--json"}, {"plan"}, {"plan", "--json"}} {
				done := kit.Run(t, kit.Command{Args: append(args, "-c", path), Env: env, Secrets: secrets})
				require.Equal(t, code, done.ExitCode(), "%s: %v: %s", name, args, done.Output())
				if code == 0 && args[0] == "plan" {
					require.Contains(t, done.Output(), "fanout", name)
				}
			}
			relay.Reload(t, text)
			if code == 0 {
				restart++
				said := relay.AwaitNth(t, restart, "configuration reloaded, but for what only a restart can change", nil)
				require.Contains(t, said["error"], "the fanout block changed: restart tailpost")
			} else {
				refused++
				relay.AwaitNth(t, refused, "configuration not reloaded: it is invalid, the old one stays", nil)
			}
		}
	}
	require.Zero(t, relay.Stop(t))
	kit.AssertNowhere(t, secrets, b.db.Everything(t))
}
