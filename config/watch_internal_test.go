package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/require"
)

// What is still being written is not told of; what is as it was before is no change.
func TestAChangeCountsOnceItWasLeftAlone(t *testing.T) {
	t.Parallel()
	watcher, err := fsnotify.NewWatcher()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, watcher.Close()) })
	w := watched{path: filepath.Join(t.TempDir(), "tailpost.hcl"), watcher: watcher}
	write := func(text string) { require.NoError(t, os.WriteFile(w.path, []byte(text), 0o600)) }
	look := func(changed, again bool, why string) {
		t.Helper()
		c, a := w.look()
		require.Equal(t, [2]bool{changed, again}, [2]bool{c, a}, why)
	}
	write("one")
	w.know()
	w.begin()
	look(false, false, "nothing was changed")

	write("")
	w.begin()
	write("tw")
	look(false, true, "it is being written")
	write("two")
	look(false, true, "it still is")
	look(true, false, "it was left alone")
	look(false, false, "it is known now")

	write("three")
	w.begin()
	write("two")
	look(false, false, "it is what it was")
}
