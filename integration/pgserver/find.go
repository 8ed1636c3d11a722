package pgserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNotFound means that this machine has no Postgres server binaries.
var ErrNotFound = errors.New(
	"find Postgres: no directory with initdb and postgres; install a Postgres server (.ci/postgres.sh does) or set PGBIN")

// Find returns the directory that holds initdb and postgres: $PGBIN, else that of the first
// postgres in PATH, else the newest version under /usr/lib/postgresql (Debian),
// /usr/libexec/postgresql (Alpine), /usr/pgsql (Red Hat) and Homebrew, else what .ci/postgres.sh
// put into .cache of the checkout that contains the working directory.
func Find() (string, error) {
	if dir := os.Getenv("PGBIN"); dir != "" {
		if !hasServer(dir) {
			return "", errors.New("find Postgres: PGBIN names a directory without initdb and postgres")
		}
		return filepath.Abs(dir)
	}
	for _, dir := range candidates() {
		if hasServer(dir) {
			return filepath.Abs(dir)
		}
	}
	return "", ErrNotFound
}

func candidates() []string {
	var dirs []string
	if postgres, err := exec.LookPath("postgres"); err == nil {
		// A link in PATH may point at postgres alone; its neighbours are where it leads.
		if resolved, err := filepath.EvalSymlinks(postgres); err == nil {
			dirs = append(dirs, filepath.Dir(resolved))
		}
		dirs = append(dirs, filepath.Dir(postgres))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/libexec/postgresql*",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	} {
		dirs = append(dirs, newestFirst(pattern)...)
	}
	if root := checkout(); root != "" {
		dirs = append(dirs, newestFirst(filepath.Join(root, ".cache", "postgres-*", "bin"))...)
	}
	return dirs
}

func newestFirst(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	slices.SortFunc(dirs, func(a, b string) int { return major(b) - major(a) })
	return dirs
}

// major is the first number in a path, 0 if there is none.
func major(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, err := strconv.Atoi(digits[0])
	if err != nil {
		return 0
	}
	return n
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, name)) //nolint:gosec // PGBIN is whoever runs the tests speaking
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// checkout is the nearest directory at or above the working directory that has a go.mod, empty if
// there is none.
func checkout() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
