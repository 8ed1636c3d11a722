package integration_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// receiving is a question to the code of docs/receiving.md, and its answer.
type receiving struct {
	what    string
	genuine bool

	Scheme  string            `json:"scheme"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
}

// words is the question for a harness without a JSON parser.
func (r *receiving) words() string {
	text := r.Scheme + " " + r.Secret + " " + base64.StdEncoding.EncodeToString(r.Body)
	for name, value := range r.Headers {
		text += " " + base64.StdEncoding.EncodeToString([]byte(name)) + " " + base64.StdEncoding.EncodeToString([]byte(value))
	}
	return text
}

// questions are of every scheme a genuine request, one signed with two secrets, and those that no
// receiver may take.
func questions(t *testing.T) []receiving {
	t.Helper()
	body := []byte(`{"id":"e1","type":"order.paid","data":{"total": 99.5, "text": "é 漢 😀 <&> \" \\"}}`)
	var all []receiving
	for _, scheme := range []string{"standard", "ed25519", "stripe", "github"} {
		of := signature.Standard
		if scheme == "stripe" || scheme == "github" {
			of = signature.Scheme(scheme)
		}
		signing, stranger := signature.GenerateSecret(), signature.GenerateSecret()
		verifying := signing
		if scheme == "ed25519" {
			signing, verifying = signature.GenerateKeyPair()
			_, stranger = signature.GenerateKeyPair()
		}
		id, body := "e1", body
		add := func(what string, genuine bool, secret string, at time.Time, sent []byte, secrets ...string) {
			signer, err := signature.NewSignerFor(of, secrets...)
			require.NoError(t, err)
			headers := make(map[string]string)
			for name, values := range signer.Sign(id, at, body) {
				headers[strings.ToLower(name)] = strings.Join(values, ", ")
			}
			all = append(all, receiving{scheme + ": " + what, genuine, scheme, secret, headers, sent})
		}
		now := time.Now()
		changed := bytes.Replace(body, []byte("99.5"), []byte("99.6"), 1)
		add("genuine", true, verifying, now, body, signing)
		if !of.Single() {
			add("the second of two signatures", true, verifying, now, body, signature.GenerateSecret(), signing)
		}
		add("a changed body", false, verifying, now, changed, signing)
		add("another's secret", false, stranger, now, body, signing)
		if scheme != "github" {
			add("an old timestamp", false, verifying, now.Add(-6*time.Minute), body, signing)
		}
		batch := slices.Concat([]byte("["), body, []byte(","), body, []byte("]"))
		id, body = "req_06p2e0k8v4l9d3q6h1n7t5m2c0", batch
		add("a batch", true, verifying, now, batch, signing)
		add("a batch without its end", false, verifying, now, batch[:len(batch)/2], signing)
		if of == signature.Standard { // Stripe's own library takes the others
			add("a timestamp of the future", false, verifying, now.Add(6*time.Minute), body, signing)
		}
	}
	return all
}

// language is how a block of docs/receiving.md is run.
type language struct {
	fence   string
	needs   string // the program; "": what the tests have anyhow
	harness string // below integration/receivers/harness
	prepare func(t *testing.T, dir, block, harness string) *exec.Cmd
	words   bool // it reads words, not JSON
}

func languages() map[string]language {
	script := func(name string, program ...string) func(*testing.T, string, string, string) *exec.Cmd {
		return func(t *testing.T, dir, block, harness string) *exec.Cmd {
			t.Helper()
			kit.WriteFile(t, filepath.Join(dir, name), block+harness)
			return exec.CommandContext(t.Context(), program[0], append(program[1:], filepath.Join(dir, name))...)
		}
	}
	return map[string]language{
		"Go": {fence: "go", harness: "main.go.txt", prepare: func(t *testing.T, dir, block, harness string) *exec.Cmd {
			t.Helper()
			block = strings.Replace(block, "import (", "import (\n\"encoding/json\"\n\"fmt\"\n\"os\"", 1)
			file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "verify")
			kit.WriteFile(t, file, block+harness)
			build := exec.CommandContext(t.Context(), "go", "build", "-o", program, file)
			build.Dir = kit.Root()
			out, err := build.CombinedOutput()
			require.NoError(t, err, string(out))
			return exec.CommandContext(t.Context(), program)
		}},
		"Node": {fence: "js", needs: "node", harness: "harness.mjs", prepare: func(t *testing.T, dir, block, harness string) *exec.Cmd {
			t.Helper()
			libraries := filepath.Join(kit.Root(), "integration", "receivers")
			require.NoError(t, kit.InstallNode(libraries))
			require.NoError(t, os.Symlink(filepath.Join(libraries, "node_modules"), filepath.Join(dir, "node_modules")))
			return script("verify.mjs", "node")(t, dir, block, harness)
		}},
		"Python": {fence: "python", needs: "python3", harness: "harness.py", prepare: script("verify.py", "python3")},
		"PHP":    {fence: "php", needs: "php", harness: "harness.php", prepare: script("verify.php", "php")},
		"Ruby":   {fence: "ruby", needs: "ruby", harness: "harness.rb", prepare: script("verify.rb", "ruby")},
		"Java": {fence: "java", needs: "javac", harness: "Harness.java", words: true, prepare: func(t *testing.T, dir, block, harness string) *exec.Cmd {
			t.Helper()
			kit.WriteFile(t, filepath.Join(dir, "Verifier.java"), block)
			kit.WriteFile(t, filepath.Join(dir, "Harness.java"), harness)
			build := exec.CommandContext(t.Context(), "javac", "-d", dir, filepath.Join(dir, "Verifier.java"), filepath.Join(dir, "Harness.java"))
			out, err := build.CombinedOutput()
			require.NoError(t, err, string(out))
			return exec.CommandContext(t.Context(), "java", "-cp", dir, "Harness")
		}},
	}
}

// TestTheCodeForReceiversVerifies runs each block of docs/receiving.md, where its language is
// installed, on what Tailpost signs.
func TestTheCodeForReceiversVerifies(t *testing.T) {
	t.Parallel()
	document := readDocument(t, "docs/receiving.md")
	for name, l := range languages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blocks := fenced(document, l.fence)
			require.Len(t, blocks, 1)
			l.skip(t)
			harness := readDocument(t, filepath.Join("integration", "receivers", "harness", l.harness))
			cmd := l.prepare(t, t.TempDir(), blocks[0], harness)
			all := questions(t) // only now: a signature is good for five minutes, and this waited for others
			var stdin, stderr bytes.Buffer
			for i := range all {
				line, err := json.Marshal(&all[i])
				require.NoError(t, err)
				if l.words {
					line = []byte(all[i].words())
				}
				stdin.Write(append(line, '\n'))
			}
			cmd.Stdin, cmd.Stderr = &stdin, &stderr
			out, err := cmd.Output()
			require.NoError(t, err, stderr.String())
			answers := bufio.NewScanner(bytes.NewReader(out))
			for i := range all {
				require.True(t, answers.Scan(), "no answer to %s\n%s", all[i].what, stderr.String())
				require.Equal(t, map[bool]string{true: "true", false: "false"}[all[i].genuine], answers.Text(), all[i].what)
			}
		})
	}
}

// skip skips a language that is not installed, but for those that the tests need anyhow.
func (l *language) skip(t *testing.T) {
	t.Helper()
	if l.needs == "" || l.needs == "node" {
		return
	}
	_, err := exec.LookPath(l.needs)
	if err == nil && l.needs == "python3" {
		err = exec.CommandContext(t.Context(), "python3", "-c", "import cryptography").Run()
	}
	if err != nil {
		if l.needs == "python3" {
			require.Empty(t, os.Getenv("CI"), "Python, or its package cryptography, is not installed: .ci/peers.sh could not")
		}
		t.Skipf("%s is not installed, or lacks a package", l.needs)
	}
}
