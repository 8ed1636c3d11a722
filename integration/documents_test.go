package integration_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
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

// documents are all that people read, by their names from the root.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "examples/*.md", "examples/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(kit.Root(), filepath.FromSlash(pattern)))
		require.NoError(t, err)
		for _, path := range found {
			name, err := filepath.Rel(kit.Root(), path)
			require.NoError(t, err)
			names = append(names, filepath.ToSlash(name))
		}
	}
	require.Greater(t, len(names), 10)
	return names
}

// TestTheConfigurationOfTheREADMEIsValid puts together what the README has its reader write.
func TestTheConfigurationOfTheREADMEIsValid(t *testing.T) {
	t.Parallel()
	blocks := fenced(readDocument(t, "README.md"), "hcl")
	require.NotEmpty(t, blocks)
	dir := t.TempDir()
	kit.WriteFile(t, filepath.Join(dir, "tailpost.hcl"), strings.Join(blocks, "\n"))
	reader := container{args: []string{"run"}, env: map[string]string{
		"DATABASE_URL": "postgres://127.0.0.1/shop", "ERP_SECRET": signature.GenerateSecret(),
	}}
	reader.requireValid(t, dir)
	reader.requireNeedsAll(t, dir)
}

// documentEnvironment has a value of the right kind for every variable of a document.
func documentEnvironment(name string) (string, bool) {
	switch {
	case strings.HasSuffix(name, "SEALING_KEY"):
		return "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", true
	case strings.Contains(name, "SECRET"):
		return signature.GenerateSecret(), true
	case name == "NATS_URL":
		return "nats://127.0.0.1:4222", true
	case strings.HasSuffix(name, "_URL"):
		return "postgres://127.0.0.1/shop", true
	default:
		return "a long text that nobody guesses of " + name, true
	}
}

// documentFiles are those that configurations of documents name, with the least that is one.
func documentFiles(t *testing.T) map[string]string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return map[string]string{
		"logo.svg":                    `<svg xmlns="http://www.w3.org/2000/svg"/>`,
		"openapi.yaml":                "openapi: 3.1.0\ninfo: {title: shop, version: '1'}\nwebhooks:\n  order.paid:\n    post:\n      requestBody: {content: {application/json: {schema: {type: object}}}}\n",
		"schemas/order.refunded.json": `{"type": "object"}`,
		"nats.creds":                  "-----BEGIN NATS USER JWT-----\n-----BEGIN USER NKEY SEED-----\n",
		"tailpost.key":                string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}
}

// TestTheConfigurationsOfTheDocumentsAreValid loads every block of HCL, with the least that makes a
// part a whole, and requires that it has no warning and is formatted.
func TestTheConfigurationsOfTheDocumentsAreValid(t *testing.T) {
	t.Parallel()
	blocks := 0
	for _, name := range documents(t) {
		for _, block := range fenced(readDocument(t, name), "hcl") {
			blocks++
			formatted, err := config.FormatSource([]byte(block), name)
			require.NoError(t, err, "%s:\n%s", name, block)
			require.Equal(t, string(formatted), block, "%s: tailpost fmt has it another way", name)
			whole := block
			if !regexp.MustCompile(`(?m)^database \{`).MatchString(block) {
				whole += "database {\n url = env(\"DATABASE_URL\")\n}\n"
			}
			if !regexp.MustCompile(`(?m)^(api|endpoint "[a-z]+") \{`).MatchString(block) {
				whole += "endpoint \"erp\" {\n url = \"https://erp.example.com/\"\n secret = env(\"ERP_SECRET\")\n}\n"
			}
			dir := t.TempDir()
			kit.WriteFile(t, filepath.Join(dir, "tailpost.hcl"), whole)
			for file, content := range documentFiles(t) {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700))
				kit.WriteFile(t, filepath.Join(dir, file), content)
			}
			_, diags := config.Load(dir, config.Options{Getenv: documentEnvironment})
			require.Empty(t, diags, "%s:\n%s", name, block)
		}
	}
	require.Greater(t, blocks, 10)
}

// TestTheStatementsOfTheDocumentsRun runs every block of SQL on a database that Tailpost has, in
// the order of the document. What a block called "sql syntax" says is for a server of another kind.
func TestTheStatementsOfTheDocumentsRun(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	statements := 0
	for i, name := range documents(t) {
		document := readDocument(t, name)
		plain, syntax := fenced(document, "sql"), fenced(document, "sql syntax")
		if len(plain)+len(syntax) == 0 {
			continue
		}
		database := fmt.Sprintf("document_%d", i)
		kit.OpenDatabase(t, server.URL("postgres"), "").Run(t, "CREATE DATABASE "+database)
		db := kit.OpenDatabase(t, server.URL(database), "")
		db.Migrate(t, outbox.DefaultMapping())
		db.Run(t, "CREATE TABLE orders (id bigint PRIMARY KEY, status text)") // of the reader's application
		for _, statement := range statementsOf(strings.Join(plain, "\n")) {
			t.Logf("%s: %s", name, statement)
			db.Run(t, statement)
			statements++
		}
		for _, statement := range statementsOf(strings.Join(syntax, "\n")) {
			t.Logf("%s: %s", name, statement)
			db.Run(t, "DO $do$ BEGIN IF false THEN "+statement+"; END IF; END $do$") // is parsed, and not run
			statements++
		}
	}
	require.Greater(t, statements, 10)
}

// statementsOf splits what has no semicolon within a statement.
func statementsOf(block string) []string {
	var all []string
	for statement := range strings.SplitSeq(regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(block, ""), ";") {
		if statement = strings.TrimSpace(statement); statement != "" {
			all = append(all, statement)
		}
	}
	return all
}

// TestTheLinksOfTheDocumentsLead looks for the file and the heading of every link within the
// repository.
func TestTheLinksOfTheDocumentsLead(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	links := 0
	for _, name := range append(documents(t), "CHANGELOG.md") {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(readDocument(t, name), ""), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			path := name
			if target != "" {
				path = filepath.ToSlash(filepath.Join(filepath.Dir(name), target))
				_, err := os.Stat(filepath.Join(kit.Root(), path))
				require.NoError(t, err, "%s links to %s", name, match[1])
			}
			if anchor != "" {
				require.Contains(t, anchors(readDocument(t, path)), anchor, "%s links to %s", name, match[1])
			}
		}
	}
	require.Greater(t, links, 50)
}

// anchors are what GitHub makes of a document's headings.
func anchors(document string) []string {
	var all []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

// TestTheTablesOfTheDocumentsHaveHeads looks for rows behind a blank line, which are shown as text.
func TestTheTablesOfTheDocumentsHaveHeads(t *testing.T) {
	t.Parallel()
	headless := regexp.MustCompile(`(?m)^\n\|.*\n([^|]|\|[^-:])`)
	for _, name := range append(documents(t), "CHANGELOG.md") {
		require.Empty(t, headless.FindString(readDocument(t, name)), "%s: rows without the head of a table", name)
	}
}

// TestTheTestsThatTheDocumentsNameExist looks for each `Test…` of a document.
func TestTheTestsThatTheDocumentsNameExist(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	require.NoError(t, filepath.WalkDir(kit.Root(), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != kit.Root()):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		sources.Write(text)
		return err
	}))
	all, named := sources.String(), 0
	for _, name := range documents(t) {
		for _, match := range regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(readDocument(t, name), -1) {
			named++
			if !strings.Contains(all, "func "+match[1]+"(") { // require.Contains would print every test there is
				t.Errorf("%s names %s", name, match[1])
			}
		}
	}
	require.Greater(t, named, 50)
}

// TestTheTargetsOfTheDocumentsExist looks for each `make` target of a document.
func TestTheTargetsOfTheDocumentsExist(t *testing.T) {
	t.Parallel()
	makefile, seen := readDocument(t, "Makefile"), 0
	for _, name := range documents(t) {
		document := readDocument(t, name)
		for _, match := range append(
			regexp.MustCompile("`make ([a-z-]+)").FindAllStringSubmatch(document, -1),
			regexp.MustCompile(`(?m)^make ([a-z-]+)`).FindAllStringSubmatch(strings.Join(fenced(document, "sh"), "\n"), -1)...,
		) {
			seen++
			if !strings.Contains(makefile, "\n"+match[1]+":") { // require.Contains would print all of it
				t.Errorf("%s: make %s", name, match[1])
			}
		}
	}
	require.Greater(t, seen, 10)
}

// TestCommandsOfTheDocumentsExist asks for the help of each `tailpost` command with the arguments
// that a document has: an unknown command or flag fails.
func TestCommandsOfTheDocumentsExist(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile("(?m)(?:^|[\\s`(\"])tailpost ([a-z][^`\n#&|)>]*)")
	seen := make(map[string]bool)
	for _, name := range documents(t) {
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
