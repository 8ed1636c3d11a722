package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// configMap lays out a directory as Kubernetes mounts a ConfigMap: the file is a link into ..data,
// itself a link that is swapped for one to a new version of everything.
type configMap struct{ dir string }

func (c configMap) path() string { return filepath.Join(c.dir, "tailpost.hcl") }

func (c configMap) publish(t *testing.T, version, text string) {
	t.Helper()
	data := filepath.Join(c.dir, "..version_"+version)
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "tailpost.hcl"), []byte(text), 0o600))
	link := filepath.Join(c.dir, "..data")
	require.NoError(t, os.Symlink(filepath.Base(data), link+"_tmp"))
	require.NoError(t, os.Rename(link+"_tmp", link))
	if _, err := os.Lstat(c.path()); os.IsNotExist(err) {
		require.NoError(t, os.Symlink(filepath.Join("..data", "tailpost.hcl"), c.path()))
	}
}

func TestAReloadTakesEffect(t *testing.T) {
	t.Parallel()
	plain := func(t *testing.T, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "tailpost.hcl")
		kit.WriteFile(t, path, text)
		return path
	}
	for name, way := range map[string]struct {
		args   []string
		write  func(t *testing.T, text string) (path string)
		change func(t *testing.T, relay *kit.Relay, text string)
	}{
		"SIGHUP": {
			args:  []string{"--watch=false"},
			write: plain,
			change: func(t *testing.T, relay *kit.Relay, text string) {
				t.Helper()
				relay.Reload(t, text)
			},
		},
		"file replaced": {
			write: plain,
			change: func(t *testing.T, relay *kit.Relay, text string) {
				t.Helper()
				kit.WriteFile(t, relay.Path, text)
			},
		},
		"file written in place": {
			write: plain,
			change: func(t *testing.T, relay *kit.Relay, text string) {
				t.Helper()
				require.NoError(t, os.WriteFile(relay.Path, []byte(text), 0o600))
			},
		},
		"link swapped": {
			write: func(t *testing.T, text string) string {
				t.Helper()
				c := configMap{t.TempDir()}
				c.publish(t, "1", text)
				return c.path()
			},
			change: func(t *testing.T, relay *kit.Relay, text string) {
				t.Helper()
				configMap{filepath.Dir(relay.Path)}.publish(t, "2", text)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			kept, moved, added := b.endpoint("kept", ""), b.endpoint("moved", ""), b.endpoint("added", "")
			removed := b.endpoint("removed", "")
			before := b.db.Config(kept, moved, removed)
			moved.URL = b.receiver.URL("/moved-away")
			after := b.db.Config(kept, moved, added)
			env := after.Env()

			relay := kit.StartRelay(t, kit.Options{Config: before, Path: way.write(t, before.HCL()), Env: env, Args: way.args})
			relay.Await(t, kit.LogDelivering, nil)
			first := b.db.Insert(t, kit.Event("first", `1`))
			for _, path := range []string{"/kept", "/moved", "/removed"} {
				b.receiver.AwaitIDs(t, path, first...)
			}

			way.change(t, relay, after.HCL())
			relay.Await(t, kit.LogReloaded, nil)
			second := b.db.Insert(t, kit.Event("second", `2`))
			for _, path := range []string{"/kept", "/moved-away", "/added"} {
				b.receiver.AwaitIDs(t, path, second...)
			}
			b.db.AwaitConfirmed(t, b.db.LSN(t))
			require.Equal(t, append(first, second...), b.receiver.IDs("/kept"))
			require.Equal(t, first, b.receiver.IDs("/moved"))
			require.Equal(t, first, b.receiver.IDs("/removed"))
			require.Equal(t, second, b.receiver.IDs("/added"), "an endpoint gets what is committed after it was there")
			require.Equal(t, b.receiver.URL("/moved-away"), b.db.Text(t, "SELECT url FROM tailpost.endpoint WHERE id = 'moved'"))
		})
	}
}

// A secret that an agent or Kubernetes replaces on disk signs from then on, without anybody's
// doing.
func TestASecretInAFileIsTakenWhenItChanges(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path, secret string){
		"written in place": func(t *testing.T, path, secret string) {
			t.Helper()
			require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
		},
		"link swapped": func(t *testing.T, path, secret string) {
			t.Helper()
			version := filepath.Join(filepath.Dir(path), "..version_"+strings.ReplaceAll(secret[6:12], "/", "_"))
			require.NoError(t, os.Mkdir(version, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(version, "secret"), []byte(secret), 0o600))
			link := filepath.Join(filepath.Dir(path), "..data")
			require.NoError(t, os.Symlink(filepath.Base(version), link+"_tmp"))
			require.NoError(t, os.Rename(link+"_tmp", link))
			if _, err := os.Lstat(path); os.IsNotExist(err) {
				require.NoError(t, os.Symlink(filepath.Join("..data", "secret"), path))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			path := filepath.Join(t.TempDir(), "secret")
			secrets := []string{signature.GenerateSecret(), signature.GenerateSecret()}
			replace(t, path, secrets[0])
			config := b.db.Config(kit.Endpoint{ID: "erp", URL: b.receiver.URL("/erp"), HCL: fmt.Sprintf("secret = file(%q)", path)})
			relay := kit.StartDelivering(t, kit.Options{Config: config, Secrets: secrets})
			for i, secret := range secrets {
				if i > 0 {
					replace(t, path, secret)
					relay.Await(t, kit.LogReloaded, nil)
				}
				b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, kit.Event("order.paid", `{}`))...)
				requests := b.receiver.Requests("/erp")
				verifier, err := signature.NewVerifier(secret)
				require.NoError(t, err)
				require.NoError(t, verifier.Verify(requests[i].Header, requests[i].Body))
			}
		})
	}
}

func TestABadConfigurationChangesNothingAndSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	address := freeAddress(t)
	config.More = fmt.Sprintf("metrics { listen = %q }", address)
	relay := kit.StartDelivering(t, kit.Options{Config: config, Args: []string{"--watch=false"}})
	const refused = "configuration not reloaded: it is invalid, the old one stays"

	for i, bad := range []struct{ text, want string }{
		{config.HCL() + "endpoint \"crm\" {\n  urll = \"https://example.com\"\n}\n", "urll"},
		{config.HCL() + "endpoint {", "endpoint {"},
		{"", "endpoint"},
	} {
		relay.Reload(t, bad.text)
		relay.AwaitNth(t, i+1, refused, nil)
		require.Contains(t, relay.Stderr(), bad.want)
	}
	require.Contains(t, relay.Stderr(), relay.Path+":", "the file and the line are named")
	require.Contains(t, relay.Stderr(), `Did you mean "url"?`)

	require.NoError(t, os.Remove(relay.Path))
	relay.Signal(t, syscall.SIGHUP)
	relay.AwaitNth(t, 4, refused, nil)
	metrics := scrape(t, "http://"+address+"/metrics", "")
	require.InDelta(t, 4, metrics.number("tailpost_reloads_total refused"), 0)
	require.InDelta(t, 0, metrics.number("tailpost_config_last_reload_successful"), 0)

	b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, kit.Event("order.created", `1`))...)
	for _, record := range relay.Log() {
		require.NotEqual(t, kit.LogReloaded, record["message"])
	}

	// What only a restart can change is named; there is nothing else to change.
	other := config
	other.Slot += "_other"
	relay.Reload(t, other.HCL())
	said := relay.Await(t, "configuration reloaded, but for what only a restart can change", nil)
	require.Contains(t, said["error"], "restart tailpost to use another database or slot")
	b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, kit.Event("order.created", `2`))...)
	require.Zero(t, relay.Stop(t))
}

// Deliveries that wait follow their endpoint to where it moves.
func TestAReloadRepairsAnEndpointThatFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/wrong", kit.Statuses(404))
	endpoint := b.endpoint("erp", `retry { schedule = ["300ms", "300ms", "300ms", "300ms", "300ms", "300ms", "300ms", "300ms", "300ms"] }`)
	endpoint.URL = b.receiver.URL("/wrong")
	endpoint.Secret = []string{signature.GenerateSecret()}
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(endpoint), Args: []string{"--watch=false"}})
	ids := b.db.Insert(t, orders(5)...)
	b.receiver.AwaitIDs(t, "/wrong", ids...)

	endpoint.URL = b.receiver.URL("/right")
	relay.Reload(t, b.db.Config(endpoint).HCL())
	b.receiver.AwaitIDs(t, "/right", ids...)
	b.db.AwaitEmptyQueue(t)
	require.Len(t, b.receiver.Requests("/right"), len(ids))
	b.db.CheckStats(t, "erp")
}

// A reload replaces what sends. Requests in flight end as they would, on the connections they have,
// and are recorded.
func TestAReloadLeavesRequestsInFlightAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate, open := kit.Gate()
	b.receiver.On("/erp", gate)
	config := b.db.Config(b.endpoint("erp", "concurrency = 4"))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(4)...)
	b.receiver.Await(t, "/erp", 4)
	for n := range 3 {
		config.Endpoints[0].HCL = fmt.Sprintf("concurrency = %d", 5+n)
		relay.Reload(t, config.HCL())
		relay.AwaitNth(t, n+1, kit.LogReloaded, nil)
	}
	// What concerns all that is in memory has the relay begin anew, once they are answered, and
	// keep the slot until then.
	kit.StartRelay(t, kit.Options{Config: config}).Await(t, kit.LogStandby, nil)
	config.Endpoints[0].HCL += "\nordering = \"key\""
	relay.Reload(t, config.HCL())
	relay.AwaitNth(t, 4, kit.LogReloaded, nil)
	require.Never(t, func() bool { return len(b.receiver.Requests("/erp")) > len(ids) }, 2*time.Second, 50*time.Millisecond, "none is made twice")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"), "nothing was broken off")
	open()
	for _, attempt := range b.db.AwaitAttempts(t, "erp", len(ids)) {
		require.Equal(t, "delivered", attempt.Outcome)
	}
	b.db.AwaitEmptyQueue(t)
	require.Len(t, b.receiver.Requests("/erp"), len(ids))
	// The connections of senders that were replaced close once nothing is in flight on them.
	kit.Eventually(t, kit.Patience, func() error {
		if n := b.receiver.Connections(); n > 0 {
			return fmt.Errorf("%d connections of former senders are open", n)
		}
		return nil
	})
	b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, orders(1)...)...)
}

// What events are found by is followed without a restart, and one that stays as it was asks for
// none. So it is where what one relay reads is sent by partitions.
func TestAReloadChangesWhatEventsAreFoundBy(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		reloadsTerms(t, func(*kit.Config) {}, kit.LogDelivering)
	})
	t.Run("fan-out", func(t *testing.T) {
		t.Parallel()
		nats := kit.StartNATS(t, 1)
		reloadsTerms(t, func(c *kit.Config) { c.More = nats.Fanout(2, "") }, logPartition)
	})
}

func reloadsTerms(t *testing.T, with func(*kit.Config), delivers string) {
	t.Helper()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = `search = { order = event.data.id }`
	with(&config)
	relay := kit.StartRelay(t, kit.Options{Config: config, Args: []string{"--watch=false"}})
	relay.Await(t, delivers, nil)
	deliver := func() string {
		id := b.db.Insert(t, kit.Event("order.created", `{"id":7}`))
		b.receiver.AwaitIDs(t, "/erp", id...)
		b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE event_id = $1", id[0])
		return b.db.Text(t, "SELECT COALESCE(search::text, '-') FROM tailpost.attempt WHERE event_id = $1", id[0])
	}
	require.Equal(t, "{order=7}", deliver())
	relay.Reload(t, config.HCL())
	relay.AwaitNth(t, 1, kit.LogReloaded, nil)
	config.Outbox = `search = { number = event.data.id }`
	relay.Reload(t, config.HCL())
	relay.AwaitNth(t, 2, kit.LogReloaded, nil)
	require.Equal(t, "{number=7}", deliver())
	config.Outbox = ""
	relay.Reload(t, config.HCL())
	relay.AwaitNth(t, 3, kit.LogReloaded, nil)
	require.Equal(t, "-", deliver())
	require.Zero(t, relay.Stop(t))
	require.NotContains(t, relay.Stderr(), "only a restart can change")
}
