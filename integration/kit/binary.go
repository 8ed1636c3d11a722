package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// BinaryVariable names the environment variable with the path of a tailpost binary to test. Unset:
// one is built.
const BinaryVariable = "TAILPOST_TEST_BINARY"

const buildTimeout = 10 * time.Minute

// builds holds what was built for this test binary; Cleanup removes it.
var builds struct {
	sync.Mutex
	dir   string
	paths map[string]string // by the name of the file
}

// Binary returns the path of the tailpost binary, built once for a test binary, with the race
// detector if the tests have it.
func Binary(t TB) string {
	t.Helper()
	return product(t, raceEnabled)
}

// PlainBinary is Binary without the race detector, whose own memory and pace would drown what a
// test measures.
func PlainBinary(t TB) string {
	t.Helper()
	return product(t, false)
}

func product(t TB, race bool) string {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		return path
	}
	return builtOnce(t, "./cmd/tailpost", race)
}

// Build builds a command of the module, named by its directory from the module's root, once for a
// test binary, with the race detector if the tests have it.
func Build(t TB, dir string) string {
	t.Helper()
	return builtOnce(t, dir, raceEnabled)
}

// BuildCommit builds tailpost as it was at a commit of the checkout's history, once for a test
// binary, without the race detector.
func BuildCommit(t TB, commit string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	name := "tailpost-" + commit
	if path, ok := builds.paths[name]; ok {
		return path
	}
	parent, err := buildsDir()
	if err != nil {
		t.Fatalf("%v", err)
		return ""
	}
	path := filepath.Join(parent, name)
	// The tree itself goes at once: what is built is one file. Its path, new each time, must
	// be no part of what is compiled, or Go's build cache would have nothing of it.
	const script = `mkdir "$2.tree" && git archive --format=tar "$1" | tar -x -C "$2.tree" && cd "$2.tree" && go build -trimpath -buildvcs=false -o "$2" ./cmd/tailpost
		status=$?; rm -rf "$2.tree"; exit $status`
	ctx, cancel := context.WithTimeoutCause(context.Background(), buildTimeout, errors.New("the build took longer than "+buildTimeout.String()))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script, "sh", commit, path) //nolint:gosec // a commit that a test names
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build tailpost of %s: %v\n%s", commit, errors.Join(err, context.Cause(ctx)), bytes.TrimSpace(out))
		return ""
	}
	builds.paths[name] = path
	return path
}

func builtOnce(t TB, dir string, race bool) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	name := filepath.Base(dir)
	if race {
		name += "-race"
	}
	if path, ok := builds.paths[name]; ok {
		return path
	}
	path, err := build(dir, name, race)
	if err != nil {
		t.Fatalf("%v", err)
		return ""
	}
	builds.paths[name] = path
	return path
}

func build(dir, name string, race bool) (string, error) {
	parent, err := buildsDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(parent, name)
	args := []string{"build", "-o", path}
	if race {
		args = append(args, "-race")
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), buildTimeout, errors.New("go build took longer than "+buildTimeout.String()))
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, dir)...) //nolint:gosec // a directory that a test names
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", dir, errors.Join(err, context.Cause(ctx)), bytes.TrimSpace(out))
	}
	return path, nil
}

// buildsDir returns the folder of what is built, and makes it the first time.
func buildsDir() (string, error) {
	if builds.dir == "" {
		parent, err := os.MkdirTemp("", "tailpost-build-")
		if err != nil {
			return "", fmt.Errorf("make a folder for binaries: %w", err)
		}
		builds.dir, builds.paths = parent, make(map[string]string)
	}
	return builds.dir, nil
}

// Root returns the root directory of the checkout: the nearest directory with a go.mod at or above
// the working directory, which `go test` sets to the package's own. Paths that the compiler noted
// would not do: -trimpath shortens them.
func Root() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			err = errors.New("no go.mod above " + dir)
		}
		dir = parent
	}
	panic("kit: find the checkout: " + err.Error())
}

// Cleanup removes what the kit built. TestMain calls it after the last test.
func Cleanup() {
	builds.Lock()
	defer builds.Unlock()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir) // in the temporary directory: whoever cleans that up gets it
		builds.dir, builds.paths = "", nil
	}
}
