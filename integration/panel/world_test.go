package panel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay"
)

const (
	adminKey = "an-administrator-key-of-the-configuration"
	sealKey  = "5f1d1b1f0f4d4e2b9a6c7d8e9f00112233445566778899aabbccddeeff001122"
)

func TestMain(m *testing.M) {
	code := m.Run()
	stopChromium()
	kit.Cleanup()
	os.Exit(code)
}

// world is a relay that delivers, its panel, and a receiver.
type world struct {
	t        *testing.T
	url      string // of the API and the panel
	admin    string // a key that may do everything; empty: none is needed
	conn     *pgx.Conn
	receiver *kit.Receiver
}

// frameHCL is the configuration of a world but for the keys.
const frameHCL = `
database {
  url  = env("DATABASE_URL")
  slot = env("SLOT")
}
network {
  allow      = ["127.0.0.0/8"]
  allow_http = true
}
secrets { keys = [env("SEAL_KEY")] }
`

const keyedHCL = `
api {
  listen = "127.0.0.1:0"
  key "admin" { secret = env("ADMIN_KEY") }
  network {
    allow      = ["127.0.0.0/8"]
    allow_http = true
  }
}
`

const keylessHCL = `
api {
  listen = "127.0.0.1:0"
  network {
    allow      = ["127.0.0.0/8"]
    allow_http = true
  }
}
`

// newWorld starts a relay with this configuration beside the frame, and more of its environment.
func newWorld(t *testing.T, hcl string, more ...map[string]string) *world {
	t.Helper()
	db := pgschema.NewDB(t)
	w := &world{t: t, conn: db.Conn(t), receiver: kit.NewReceiver(t)}
	_, err := schema.Migrate(t.Context(), w.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	w.start(db.URL, slotOf(db), hcl, more...)
	return w
}

// start runs the relay over a database that is ready for it.
func (w *world) start(database, slot, hcl string, more ...map[string]string) {
	t := w.t
	t.Helper()
	if hcl != keylessHCL {
		w.admin = adminKey
	}
	values := map[string]string{"DATABASE_URL": database, "SLOT": slot, "SEAL_KEY": sealKey, "ADMIN_KEY": adminKey, "RECEIVER": w.receiver.URL("")}
	values["FRAMER"], values["LOGO"] = "https://app.example", filepath.Join(t.TempDir(), "logo.svg")
	require.NoError(t, os.WriteFile(values["LOGO"], []byte(logoSVG), 0o600))
	for _, some := range more {
		maps.Copy(values, some)
	}
	path := filepath.Join(t.TempDir(), "tailpost.hcl")
	require.NoError(t, os.WriteFile(path, []byte(frameHCL+hcl), 0o600))
	cfg, diags := config.Load(path, config.Options{Getenv: func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}})
	require.False(t, diags.HasErrors(), "%v", diags)
	r, err := relay.New(cfg, relay.Options{Grace: time.Second, Version: "test", Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	kit.Eventually(t, kit.Patience, func() error {
		if r.APIAddress() == "" || r.Status().State != relay.Delivering {
			return fmt.Errorf("the relay is %s", r.Status().State)
		}
		return nil
	})
	w.url = "http://" + strings.Replace(r.APIAddress(), "127.0.0.1", "localhost", 1)
}

// slotOf is a slot's name of this database's own, short enough for what is named after it.
func slotOf(db *pgtest.DB) string {
	return fmt.Sprintf("panel_%x", sha256.Sum256([]byte(db.Name)))[:30]
}

// call is a call of the API, as the administrator unless a key is named.
func (w *world) call(method, path string, body any, key ...string) map[string]any {
	w.t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(w.t, err)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(text))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	if secret := append(key, w.admin)[0]; secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	require.Less(w.t, res.StatusCode, 300, "%s %s: %s", method, path, got)
	var answer map[string]any
	require.NoError(w.t, json.Unmarshal(got, &answer))
	return answer
}

// endpoint makes an endpoint at a path of the receiver and returns its id.
func (w *world) endpoint(name, path string, more map[string]any) string {
	w.t.Helper()
	body := map[string]any{"name": name, "url": w.receiver.URL(path), "retry": map[string]any{"schedule": []string{}}}
	maps.Copy(body, more)
	id, _ := w.call(http.MethodPost, "/v1/endpoints", body)["id"].(string)
	return id
}

// key makes a key of the API and returns its secret.
func (w *world) key(name, tenant string, scopes ...string) string {
	w.t.Helper()
	body := map[string]any{"name": name, "tenant": tenant}
	if len(scopes) > 0 {
		body["scopes"] = scopes
	}
	secret, _ := w.call(http.MethodPost, "/v1/keys", body)["secret"].(string)
	return secret
}

// insert commits an event and returns its id.
func (w *world) insert(name, tenant, payload string) (id string) {
	w.t.Helper()
	err := w.conn.QueryRow(w.t.Context(), `
INSERT INTO public.outbox (type, key, tenant, payload)
VALUES ($1, 'order-42', NULLIF($2, ''), $3)
RETURNING id::text`, name, tenant, payload).Scan(&id)
	require.NoError(w.t, err)
	return id
}

// attempts waits until the endpoint has at least n attempts on record.
func (w *world) attempts(endpoint string, n int) {
	w.t.Helper()
	kit.Eventually(w.t, kit.Patience, func() error {
		var got int
		err := w.conn.QueryRow(w.t.Context(), "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1", endpoint).Scan(&got)
		if err == nil && got < n {
			err = fmt.Errorf("%d of %d attempts", got, n)
		}
		return err
	})
}

// parked returns an error until an event waits in the queue.
func (w *world) parked(event string) error {
	var n int
	err := w.conn.QueryRow(w.t.Context(), "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1", event).Scan(&n)
	if err == nil && n == 0 {
		err = fmt.Errorf("event %s is not parked", event)
	}
	return err
}
