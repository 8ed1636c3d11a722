package integration_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestTheKeysOfTheDocumentsAreMade: each openssl command of a document makes what the text beside
// it is about, in the order in which the document has them.
func TestTheKeysOfTheDocumentsAreMade(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl here")
	}
	command := regexp.MustCompile("openssl [a-z][^`)\"|\n]*")
	made := 0
	for _, name := range documents(t) {
		dir := t.TempDir()
		for _, line := range command.FindAllString(readDocument(t, name), -1) {
			made++
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", line)
			cmd.Dir = dir
			out, err := cmd.Output()
			require.NoError(t, err, "%s: %s", name, line)
			said := strings.TrimSpace(string(out))
			switch words := strings.Fields(line); words[1] + " " + words[2] {
			case "rand -hex":
				key, err := hex.DecodeString(said)
				require.NoError(t, err, "%s: %s", name, line)
				require.GreaterOrEqual(t, len(key), 16)
			case "rand -base64":
				key, err := base64.StdEncoding.DecodeString(said)
				require.NoError(t, err, "%s: %s", name, line)
				require.Len(t, key, 32)
			case "genpkey -algorithm":
				require.FileExists(t, filepath.Join(dir, "tailpost.key"))
			case "pkey -in":
				require.Contains(t, said, "BEGIN PUBLIC KEY")
			default:
				require.Fail(t, "nobody looks at what it makes", "%s: %s", name, line)
			}
		}
	}
	require.Positive(t, made)
}

// TestTheCapturesOfTheDocumentsWork runs each line of a document that pipes a capture into psql,
// and writes to the captured table then.
func TestTheCapturesOfTheDocumentsWork(t *testing.T) {
	t.Parallel()
	psql := filepath.Join(os.Getenv("PGBIN"), "psql")
	if _, err := os.Stat(psql); err != nil {
		t.Skip("there is no psql beside the server")
	}
	bin := t.TempDir() // the race detector's has another name
	require.NoError(t, os.Symlink(kit.Binary(t), filepath.Join(bin, "tailpost")))
	path := strings.Join([]string{bin, filepath.Dir(psql), os.Getenv("PATH")}, string(filepath.ListSeparator))
	ran := 0
	for _, name := range documents(t) {
		for _, block := range fenced(readDocument(t, name), "sh") {
			for line := range strings.Lines(block) {
				if !strings.Contains(line, "| psql ") {
					continue
				}
				ran++
				db := kit.NewDatabase(t)
				db.Run(t, "CREATE TABLE public.orders (id int PRIMARY KEY, status text, total int)")
				cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", line)
				cmd.Dir = t.TempDir()
				kit.WriteFile(t, filepath.Join(cmd.Dir, "tailpost.hcl"), "database {\n  url = env(\"DATABASE_URL\")\n}\n")
				cmd.Env = append(os.Environ(), "PATH="+path, "DATABASE_URL="+db.URL)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s: %s%s", name, line, out)
				db.Run(t, "INSERT INTO public.orders VALUES (1, 'open', 7)")
				require.Equal(t, 1, db.Count(t, "SELECT count(*) FROM outbox WHERE type = 'orders.insert' AND payload ->> 'total' = '7'"), "%s: %s%s", name, line, out)
			}
		}
	}
	require.Positive(t, ran)
}
