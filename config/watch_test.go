package config_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/config"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// watch starts to watch path, and returns a channel of its changes. It returns once the watch is
// known to work.
func watch(t *testing.T, path string, named <-chan []string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan struct{}, 16)
	done := make(chan error, 1)
	go func() { done <- config.Watch(ctx, path, named, func() { changes <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return changes
}

// eventually makes a change until the watch, which may still be starting, has seen one.
func eventually(t *testing.T, changes <-chan struct{}, change func(n int)) {
	t.Helper()
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for n := 0; ; n++ {
		change(n)
		select {
		case <-changes:
			return
		case <-tick.C:
		case <-deadline:
			require.Fail(t, "no change was seen")
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func numbered(n int) string {
	return "# " + time.Duration(n).String() + "\n"
}

func TestWatchSeesWritesAndRenames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tailpost.hcl")
	write(t, path, "")
	changes := watch(t, path, nil)
	eventually(t, changes, func(n int) { write(t, path, numbered(n)) })
	eventually(t, changes, func(n int) {
		write(t, path+"~", numbered(100+n))
		require.NoError(t, os.Rename(path+"~", path))
	})
	eventually(t, changes, func(int) { require.NoError(t, os.RemoveAll(path)) })
	eventually(t, changes, func(n int) { write(t, path, numbered(200+n)) })
}

func TestWatchSeesTheSwapOfAConfigMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount := func(n int) {
		version := filepath.Join(dir, "..v"+numbered(n)[2:len(numbered(n))-1])
		require.NoError(t, os.MkdirAll(version, 0o700))
		write(t, filepath.Join(version, "tailpost.hcl"), numbered(n))
		require.NoError(t, os.Symlink(filepath.Base(version), filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	mount(0)
	require.NoError(t, os.Symlink(filepath.Join("..data", "tailpost.hcl"), filepath.Join(dir, "tailpost.hcl")))
	for _, path := range []string{filepath.Join(dir, "tailpost.hcl"), dir} {
		changes := watch(t, path, nil)
		start := len(path)
		eventually(t, changes, func(n int) { mount(1000*start + n) })
		eventually(t, changes, func(n int) { mount(2000*start + n) })
	}
}

func TestWatchSeesWritesBehindALink(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "real.hcl")
	write(t, elsewhere, "")
	path := filepath.Join(t.TempDir(), "tailpost.hcl")
	require.NoError(t, os.Symlink(elsewhere, path))
	changes := watch(t, path, nil)
	eventually(t, changes, func(n int) { write(t, elsewhere, numbered(n)) })
}

func TestWatchSeesFilesOfADirectoryComeAndGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	changes := watch(t, dir, nil)
	eventually(t, changes, func(n int) { write(t, filepath.Join(dir, "a.hcl"), numbered(n)) })
	eventually(t, changes, func(n int) { write(t, filepath.Join(dir, "b.hcl"), numbered(n)) })
	eventually(t, changes, func(int) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "a.hcl"))) })
}

func TestWatchWithoutFolderFails(t *testing.T) {
	t.Parallel()
	err := config.Watch(t.Context(), filepath.Join(t.TempDir(), "none", "tailpost.hcl"), nil, func() {})
	require.ErrorContains(t, err, "watch configuration folder")
}

// A write of the same contents, as many tools make, reloads nothing.
func TestWatchIgnoresWhatChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tailpost.hcl")
	write(t, path, "")
	changes := watch(t, path, nil)
	eventually(t, changes, func(n int) { write(t, path, numbered(n)) })
	for range 2 { // changes of eventually that were seen late
		select {
		case <-changes:
		case <-time.After(500 * time.Millisecond):
		}
	}
	same, err := os.ReadFile(path)
	require.NoError(t, err)
	for range 3 {
		write(t, path, string(same))
		select {
		case <-changes:
			require.Fail(t, "nothing had changed")
		case <-time.After(500 * time.Millisecond):
		}
	}
	eventually(t, changes, func(n int) { write(t, path, numbered(1000+n)) })
}

// A log beside the configuration is never left alone, and delays no reload.
func TestWatchSeesAChangeBesideABusyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tailpost.hcl")
	write(t, path, "")
	changes := watch(t, path, nil)
	eventually(t, changes, func(n int) { write(t, path, numbered(n)) })

	busy, err := os.Create(filepath.Join(dir, "app.log"))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan error, 1)
	go func() { wrote <- writeLines(ctx, busy) }()
	eventually(t, changes, func(n int) { write(t, path, numbered(100+n)) })
	eventually(t, changes, func(n int) { write(t, path, numbered(200+n)) })
	stop()
	require.NoError(t, <-wrote)
}

// writeLines writes to a file many times in a second until ctx is done.
func writeLines(ctx context.Context, file *os.File) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := file.WriteString("GET / 200\n"); err != nil {
				return err
			}
		case <-ctx.Done():
			return file.Close()
		}
	}
}

// Secrets that a configuration names are mounted as it is: by Kubernetes as links that are swapped,
// by others written in place.
func TestWatchSeesNamedFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tailpost.hcl")
	write(t, path, "")
	secrets := t.TempDir()
	mount := func(n int) {
		version := filepath.Join(secrets, "..v"+numbered(n)[2:len(numbered(n))-1])
		require.NoError(t, os.MkdirAll(version, 0o700))
		write(t, filepath.Join(version, "secret"), numbered(n))
		require.NoError(t, os.Symlink(filepath.Base(version), filepath.Join(secrets, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(secrets, "..data_tmp"), filepath.Join(secrets, "..data")))
	}
	mount(0)
	linked, plain, absent := filepath.Join(secrets, "secret"), filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.Symlink(filepath.Join("..data", "secret"), linked))
	write(t, plain, "")
	named := make(chan []string, 1)
	named <- []string{linked, plain}
	changes := watch(t, path, named)
	eventually(t, changes, func(n int) { mount(1000 + n) })
	eventually(t, changes, func(n int) { write(t, plain, numbered(n)) })
	eventually(t, changes, func(int) { require.NoError(t, os.RemoveAll(plain)) })

	// Another reading of the configuration names another file, which is not there yet.
	named <- []string{absent}
	eventually(t, changes, func(n int) { write(t, absent, numbered(n)) })
}

// A release is a folder, and a link to the one that counts is swapped: before the name of the file,
// or between a link of that name and the file.
func TestWatchSeesTheSwapOfAFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	release := func(n int) {
		folder := filepath.Join(root, "releases", numbered(n)[2:len(numbered(n))-1])
		require.NoError(t, os.MkdirAll(folder, 0o700))
		write(t, filepath.Join(folder, "tailpost.hcl"), numbered(n))
		require.NoError(t, os.Symlink(filepath.Join("releases", filepath.Base(folder)), filepath.Join(root, "next")))
		require.NoError(t, os.Rename(filepath.Join(root, "next"), filepath.Join(root, "current")))
	}
	release(0)
	linked := filepath.Join(t.TempDir(), "tailpost.hcl")
	require.NoError(t, os.Symlink(filepath.Join(root, "current", "tailpost.hcl"), linked))
	for i, path := range []string{filepath.Join(root, "current", "tailpost.hcl"), filepath.Join(root, "current"), linked} {
		changes := watch(t, path, nil)
		eventually(t, changes, func(n int) { release(2000*i + 1000 + n) })
		eventually(t, changes, func(n int) { release(2000*i + 2000 + n) })
	}
	// A link that leads to itself leads nowhere, and is not followed for ever.
	around := filepath.Join(root, "around.hcl")
	require.NoError(t, os.Symlink("around.hcl", around))
	changes := watch(t, around, nil)
	eventually(t, changes, func(n int) {
		write(t, around+"~", numbered(n))
		require.NoError(t, os.Rename(around+"~", around))
	})
}
