package integration_test

import (
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tailpost/tailpost/integration/kit"
)

// documentKey is the API key that requests of documents have.
const documentKey = "a long key that nobody guesses"

// curlArguments are what a shell gives to curl, for each curl of a block.
func curlArguments(t *testing.T, block string) (all [][]string) {
	t.Helper()
	const end = "\x01"
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", `curl() { printf '%s\000' "$@"; printf '\001'; }`+"\n"+block)
	cmd.Env = []string{"TAILPOST_API_KEY=" + documentKey}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", block, out)
	for command := range strings.SplitSeq(strings.TrimSuffix(string(out), end), end) {
		all = append(all, strings.Split(strings.TrimSuffix(command, "\x00"), "\x00"))
	}
	return all
}

// curlRequest is the request that curl makes of arguments, to a server at another address.
func curlRequest(t *testing.T, address string, arguments []string) *http.Request {
	t.Helper()
	method, target, body := http.MethodGet, "", ""
	header := http.Header{}
	for i := 0; i < len(arguments); i++ {
		next := func() string {
			i++
			require.Less(t, i, len(arguments), "%q ends early", arguments)
			return arguments[i]
		}
		switch a := arguments[i]; a {
		case "-sS", "-s", "-f", "-fsS":
		case "-H":
			name, value, ok := strings.Cut(next(), ": ")
			require.True(t, ok, "%q", arguments)
			header.Add(name, value)
		case "-X":
			method = next()
		case "-d":
			body = next()
			if method == http.MethodGet {
				method = http.MethodPost
			}
		default:
			require.False(t, strings.HasPrefix(a, "-"), "this test does not know curl's %s", a)
			require.Empty(t, target, "%q", arguments)
			target = a
		}
	}
	u, err := url.Parse(target)
	require.NoError(t, err)
	u.Scheme, u.Host = "http", address
	req, err := http.NewRequestWithContext(t.Context(), method, u.String(), strings.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	return req
}

// TestTheRequestsOfTheDocumentsAreTaken makes every request that a document has for curl.
func TestTheRequestsOfTheDocumentsAreTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.More = "api {\n listen = \"127.0.0.1:0\"\n key \"admin\" { secret = env(\"API_KEY\") }\n}\nsecrets { keys = [env(\"SEALING\")] }\npanel {}\n"
	sealing, _ := documentEnvironment("SEALING_KEY")
	relay := kit.StartDelivering(t, kit.Options{Config: config, Env: map[string]string{"API_KEY": documentKey, "SEALING": sealing}})
	address, ok := relay.Await(t, "the API listens", nil)["address"].(string)
	require.True(t, ok)
	requests := 0
	for _, name := range documents(t) {
		for _, block := range fenced(readDocument(t, name), "sh") {
			if !strings.HasPrefix(block, "curl ") || !strings.Contains(block, "/v1/") {
				continue
			}
			for _, arguments := range curlArguments(t, block) {
				requests++
				answer, err := http.DefaultClient.Do(curlRequest(t, address, arguments))
				require.NoError(t, err)
				said, err := io.ReadAll(answer.Body)
				require.NoError(t, err)
				require.NoError(t, answer.Body.Close())
				require.Less(t, answer.StatusCode, 300, "%s:\n%s%s", name, block, said)
			}
		}
	}
	require.GreaterOrEqual(t, requests, 3)
}

// TestTheYAMLOfTheDocumentsIsYAML reads every block of it: those are parts of other programs'
// configurations.
func TestTheYAMLOfTheDocumentsIsYAML(t *testing.T) {
	t.Parallel()
	blocks := 0
	for _, name := range documents(t) {
		for _, block := range fenced(readDocument(t, name), "yaml") {
			blocks++
			var parsed map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(block), &parsed), "%s:\n%s", name, block)
			require.NotEmpty(t, parsed)
		}
	}
	require.NotZero(t, blocks)
}
