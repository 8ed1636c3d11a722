package kit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The public libraries that a verdict can be asked of, besides those for Go.
const (
	StandardWebhooksJS = "standardwebhooks"
	SvixJS             = "svix"
	StripeJS           = "stripe"
	OctokitJS          = "octokit"
	CloudEventsJS      = "cloudevents"
	Ed25519JS          = "ed25519" // Node's own crypto; the secret is the public key, whpk_…
)

// Libraries is a Node process that verifies requests with public libraries (integration/receivers).
type Libraries struct {
	mu      sync.Mutex
	stdin   io.Writer
	answers *bufio.Reader
}

// Verdict is what a library says of a request.
type Verdict struct {
	OK     bool            `json:"ok"`
	Error  string          `json:"error"`
	Parsed json.RawMessage `json:"parsed"` // the body as the library hands it to the receiver's code
}

// StartLibraries starts the process. It ends with the test.
func StartLibraries(t TB) *Libraries {
	t.Helper()
	dir := filepath.Join(Root(), "integration", "receivers")
	if err := InstallNode(dir); err != nil {
		t.Fatalf("%v", err)
	}
	cmd := exec.Command("node", "verify.mjs") //nolint:noctx // it ends when its stdin does
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("pipe to node: %v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe from node: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start node: %v", err)
	}
	t.Cleanup(func() {
		t.Helper()
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("end node: %v", err)
		}
	})
	return &Libraries{stdin: stdin, answers: bufio.NewReader(stdout)}
}

// Verify asks a library whether a request is genuine.
func (l *Libraries) Verify(t TB, library, secret string, r Request) Verdict {
	t.Helper()
	return l.VerifyAt(t, library, secret, r, time.Time{})
}

// VerifyAt is Verify with the library's clock set to a time; zero: the real one.
func (l *Libraries) VerifyAt(t TB, library, secret string, r Request, at time.Time) Verdict {
	t.Helper()
	headers := make(map[string]string, len(r.Header))
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	clock := int64(0)
	if !at.IsZero() {
		clock = at.UnixMilli()
	}
	question, err := json.Marshal(map[string]any{
		"library": library, "secret": secret, "headers": headers, "body": r.Body, "clock": clock,
	})
	if err != nil {
		t.Fatalf("encode a request for node: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.stdin.Write(append(question, '\n')); err != nil {
		t.Fatalf("ask node: %v", err)
	}
	line, err := l.answers.ReadBytes('\n')
	if err != nil {
		t.Fatalf("hear from node: %v", err)
	}
	var v Verdict
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatalf("read what node says: %v", err)
	}
	return v
}

// Tampered is the request with one byte of its body changed, which no library may take.
func (r Request) Tampered() Request {
	body := []byte(string(r.Body))
	// A digit or letter inside stays one, so that the body remains JSON.
	for i := len(body) - 1; i >= 0; i-- {
		if c := body[i]; c >= '0' && c < '9' {
			body[i]++
			break
		}
	}
	r.Body = body
	return r
}

// installing is one npm at a time.
var installing sync.Mutex

// InstallNode makes sure that what dir's package-lock.json names is installed there.
func InstallNode(dir string) error {
	installing.Lock()
	defer installing.Unlock()
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("look for a Node project: %w", err)
	}
	// npm leaves a copy of the lock beside what it installed.
	installed, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && !installed.ModTime().Before(lock.ModTime()) {
		return nil
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts") //nolint:noctx // bound by the test run's own timeout
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install the libraries in %s (Node.js 20 and npm are needed): %w\n%s", dir, err, out)
	}
	return nil
}
