package integration_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// writeConfig writes a configuration to a file of the test's own.
func writeConfig(t *testing.T, c kit.Config) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "tailpost.hcl")
	kit.WriteFile(t, path, c.HCL())
	return path
}

func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(document, into), string(document))
}

// dataOf is the data of a standard envelope.
func dataOf(t *testing.T, body []byte) json.RawMessage {
	t.Helper()
	var envelope struct{ Data json.RawMessage }
	decode(t, body, &envelope)
	return envelope.Data
}

// post sends a body and returns the status of the answer.
func post(t *testing.T, url, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	return do(t, request)
}

func do(t *testing.T, request *http.Request) int {
	t.Helper()
	// No connection stays: it would outlive the test.
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}
