package integration_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// startVersioned runs the receiver of integration/receivers/versioned.mjs, which ends with the
// test, and returns its address.
func startVersioned(t *testing.T, endpoints []kit.Endpoint) string {
	t.Helper()
	dir := filepath.Join(kit.Root(), "integration", "receivers")
	require.NoError(t, kit.InstallNode(dir))
	cmd := exec.Command("node", "versioned.mjs") //nolint:noctx // it ends when its stdin does
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("end node: %v", err)
		}
	})
	secrets := map[string]string{}
	for _, e := range endpoints {
		secrets["/"+e.ID] = e.Secret[0]
	}
	require.NoError(t, json.NewEncoder(stdin).Encode(map[string]any{"secrets": secrets}))
	port, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// request2xx requires that a request is answered with 2xx, and returns the answer.
func request2xx(t *testing.T, method, address, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 2, res.StatusCode/100, "%s", text)
	return text
}

// TestReceiversValidateTheVersionThatTheyPin: a receiver in Node verifies what comes with public
// libraries, and takes it only if it is of the schema that Tailpost's catalogue has for the version
// that the request names. One endpoint's pin is the newest, another's the oldest; batches and
// compressed bodies are no different.
func TestReceiversValidateTheVersionThatTheyPin(t *testing.T) {
	t.Parallel()
	const newest, oldest, events = "2026-09-20", "2025-01-01", 20
	b := setup(t)
	shapes := map[string]string{"single": "", "batched": "batch {\n  wait = \"50ms\"\n}", "packed": "gzip = true"}
	var endpoints []kit.Endpoint
	for shape, hcl := range shapes {
		for pin, version := range map[string]string{"new": newest, "old": oldest} {
			endpoints = append(endpoints, b.endpoint(shape+"-"+pin, fmt.Sprintf("version = %q\nretry { schedule = [] }\n%s", version, hcl)))
		}
	}
	node := startVersioned(t, endpoints)
	for i := range endpoints {
		endpoints[i].URL = node + "/" + endpoints[i].ID
	}
	config := b.db.Config(endpoints...)
	config.More = `
api { listen = "127.0.0.1:0" }
version "2026-09-20" {
  event "order.*" { body = { id = event.data.id, customer = event.data.buyer, text = event.data.text } }
}
version "2025-01-01" {}
`
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	catalogue := fmt.Sprintf("http://%v/v1/event-types/order.created", relay.Await(t, "the API listens", nil)["address"])
	schema := func(name string) string {
		return fmt.Sprintf(`{"type": "object", "required": ["id", %q], "additionalProperties": false,
			"properties": {"id": {"type": "integer"}, %q: {"type": "string"}, "text": {"type": "string"}}}`, name, name)
	}
	request2xx(t, http.MethodPut, catalogue, fmt.Sprintf(`{"schema": %s, "versions": {%q: {"schema": %s}}}`, schema("buyer"), oldest, schema("customer")))
	request2xx(t, http.MethodPut, node+"/catalogue", fmt.Sprintf(`{"url": %q, "newest": %q}`, catalogue, newest))

	var insert []outbox.Event
	for i := range events {
		insert = append(insert, kit.Event("order.created", fmt.Sprintf(`{"id": %d, "buyer": "Zoë", "text": "%s"}`, i, strings.Repeat("é<&>", 500))))
	}
	b.db.Insert(t, insert...)
	b.db.AwaitCount(t, events*len(endpoints), "SELECT count(*) FROM tailpost.attempt")
	require.Empty(t, b.db.Text(t, "SELECT coalesce(string_agg(DISTINCT endpoint_id || ': ' || coalesce(response_body, error, ''), E'\\n'), '') FROM tailpost.attempt WHERE outcome <> 'delivered'"))
	require.Zero(t, relay.Stop(t))

	type take struct {
		Path, Version, Names string
		Packed, Batch        bool
		Fits                 []string
	}
	var taken []take
	decode(t, request2xx(t, http.MethodGet, node+"/taken", ""), &taken)
	require.Len(t, taken, events*len(endpoints))
	for _, got := range taken {
		shape, pin, _ := strings.Cut(strings.TrimPrefix(got.Path, "/"), "-")
		want := take{Path: got.Path, Version: newest, Names: "buyer id text", Packed: shape == "packed", Batch: shape == "batched"}
		if pin == "old" {
			want.Version, want.Names = oldest, "customer id text"
		}
		want.Fits = []string{want.Version} // the other version's schema refuses it
		require.Equal(t, want, got)
	}
}
