package api_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// update rewrites the committed document: go test ./relay/internal/api -run Document -update.
var update = flag.Bool("update", false, "write openapi.json")

func TestDocumentIsTheCommittedOne(t *testing.T) {
	t.Parallel()
	text, err := api.New(api.Options{}).Document()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("openapi.json", text, 0o600))
	}
	committed, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.Equal(t, string(committed), string(text), "the API changed: run this test with -update, and look at the difference")
}
