package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	testTimeout  = 2 * time.Minute  // of one `go test`, without compiling
	soundTimeout = 10 * time.Minute // of one that runs all the tests of a package that mutants name
	compileTime  = 6 * time.Minute  // beside it, at most
)

// errSilent is the outcome of a run that exited with an error and named no failed test.
var errSilent = errors.New("the tests did not run")

// goTest runs the tests of a package in the tree and reports whether they passed. A test that
// hangs has failed. Output is what `go test` printed. An error means that nothing was tested.
func (t *tree) goTest(ctx context.Context, pkg, run string, timeout time.Duration) (passed bool, output string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout+compileTime, fmt.Errorf("go test took longer than %s", timeout+compileTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-vet=off", "-timeout", timeout.String(), "-run", run, pkg)
	cmd.Dir = t.dir
	// Copies of the tree share what they compile only if its paths are not part of it.
	cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath")
	out, runErr := cmd.CombinedOutput()
	output = string(bytes.TrimSpace(out))
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, output, context.Cause(ctx)
	case strings.Contains(output, "[no tests to run]"):
		return false, output, fmt.Errorf("no test of %s is named %s", pkg, run)
	case runErr == nil:
		return true, output, nil
	case !errors.As(runErr, &exit):
		return false, output, runErr
	case strings.Contains(output, "[build failed]"), strings.Contains(output, "[setup failed]"):
		return false, output, errors.New("it does not compile")
	case !strings.Contains(output, "--- FAIL") && !strings.Contains(output, "panic: ") && !strings.Contains(output, "fatal error: "):
		return false, output, errSilent
	}
	return false, output, nil
}

// sound runs the tests that the mutants name in the unchanged tree: a test that fails anyway
// notices nothing.
func (t *tree) sound(ctx context.Context, list []mutant) error {
	type tests struct{ pkg, run string }
	together := make(map[string][]string) // package -> names of whole tests
	var single []tests
	for _, m := range list {
		switch {
		case strings.Contains(m.run, "/"):
			single = append(single, tests{m.pkg, m.run})
		case !slices.Contains(together[m.pkg], m.run):
			together[m.pkg] = append(together[m.pkg], m.run)
		}
	}
	for pkg, names := range together {
		single = append(single, tests{pkg, strings.Join(names, "|")})
	}
	slices.SortFunc(single, func(a, b tests) int { return strings.Compare(a.pkg+" "+a.run, b.pkg+" "+b.run) })
	for _, s := range slices.Compact(single) {
		passed, output, err := t.goTest(ctx, s.pkg, s.run, soundTimeout)
		if err == nil && !passed {
			err = errors.New("it fails without a mutant")
		}
		if err != nil {
			return fmt.Errorf("go test -run '%s' %s: %w\n%s", s.run, s.pkg, err, output)
		}
	}
	return nil
}
