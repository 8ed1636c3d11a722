package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(kit.Root(), name))
	require.NoError(t, err)
	return string(text)
}

// fenced are the blocks of a language in a document, without the indentation of a list.
func fenced(document, language string) []string {
	var blocks []string
	fence := regexp.MustCompile("(?ms)^( *)```" + language + "\n(.*?)^ *```$")
	for _, match := range fence.FindAllStringSubmatch(document, -1) {
		var block strings.Builder
		for line := range strings.Lines(match[2]) {
			block.WriteString(strings.TrimPrefix(line, match[1]))
		}
		blocks = append(blocks, block.String())
	}
	return blocks
}

// TestTheConfigurationOfTheREADMEIsValid puts together what the README has its reader write.
func TestTheConfigurationOfTheREADMEIsValid(t *testing.T) {
	t.Parallel()
	blocks := fenced(readDocument(t, "README.md"), "hcl")
	require.NotEmpty(t, blocks)
	dir := t.TempDir()
	kit.WriteFile(t, filepath.Join(dir, "tailpost.hcl"), strings.Join(blocks, "\n"))
	const sealingKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	reader := container{args: []string{"run"}, env: map[string]string{
		"DATABASE_URL": "postgres://127.0.0.1/shop", "ERP_SECRET": signature.GenerateSecret(),
		"TAILPOST_API_KEY": signature.GenerateSecret(), "TAILPOST_SEALING_KEY": sealingKey,
	}}
	reader.requireValid(t, dir)
	reader.requireNeedsAll(t, dir)
}

// TestCommandsOfTheDocumentsExist asks for the help of each `tailpost` command with the arguments
// that a document gives it: an unknown command or flag fails.
func TestCommandsOfTheDocumentsExist(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile("(?m)(?:^|[\\s`(\"])tailpost ([a-z][^`\n#&|)>]*)")
	seen := make(map[string]bool)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "examples/README.md", "docs/cli-json.md"} {
		for _, match := range command.FindAllStringSubmatch(readDocument(t, name), -1) {
			line := strings.TrimSpace(match[1])
			if seen[line] {
				continue
			}
			seen[line] = true
			run := func(script string) {
				p := kit.Run(t, kit.Command{Path: "sh", Args: []string{"-c", `exec "$0" ` + script, kit.Binary(t)}})
				require.Zero(t, p.ExitCode(), "%s: tailpost %s\n%s", name, line, p.Output())
			}
			run("help " + strings.Fields(line)[0]) // of an unknown command --help is that of tailpost itself
			run(line + " --help")
		}
	}
	for _, known := range []string{"migrate", "run", "listen", "secret"} {
		require.Contains(t, seen, known)
	}
}
