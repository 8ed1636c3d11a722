package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long files must be left alone before a change counts, so that a half-written one is
// not read.
const quiet = 200 * time.Millisecond

// Watch calls onChange each time the contents of the configuration at path, or of a file that it
// names, have changed and then been left alone for a moment. It watches folders, not files, so that
// it also sees editors that write a new file and rename it, and a Kubernetes ConfigMap or Secret,
// whose files are links that are swapped. It blocks until ctx is done, and returns nil then; an
// error means that it could not watch at all.
//
// Named receives the files that file() named each time the configuration was read, be they there or
// not; nil: there are none. Options.ReadFile sees each of them.
func Watch(ctx context.Context, path string, named <-chan []string, onChange func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer watcher.Close()
	folder := path
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		folder = filepath.Dir(path)
	}
	if err := watcher.Add(folder); err != nil {
		return fmt.Errorf("watch configuration folder %s: %w", folder, err)
	}
	w := watched{path: path, watcher: watcher}
	w.follow()
	seen := w.fingerprint()
	settled := time.NewTimer(quiet)
	settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return errors.New("watch configuration: the watcher ended")
			}
			settled.Reset(quiet)
		case _, ok := <-watcher.Errors:
			if !ok {
				return errors.New("watch configuration: the watcher ended")
			}
			settled.Reset(quiet) // events were lost: look
		case w.named = <-named:
			w.follow()
			seen = w.fingerprint()
		case <-settled.C:
			w.follow()
			if now := w.fingerprint(); now != seen {
				seen = now
				onChange()
			}
		}
	}
}

// watched is a configuration and the files that it names.
type watched struct {
	path    string
	named   []string
	watcher *fsnotify.Watcher
}

// files returns all of them. Those that are named are there although they may not exist.
func (w *watched) files() []string {
	files, _ := configFiles(w.path) // gone for now: the folder tells when it is back
	return append(files, w.named...)
}

// follow also watches the folders of named files, and those that links lead to, where another
// program may write.
func (w *watched) follow() {
	for _, file := range w.files() {
		// A folder that cannot be watched still has the links into it watched, and one that is not
		// there cannot be.
		_ = w.watcher.Add(filepath.Dir(file))
		if linked, err := filepath.EvalSymlinks(file); err == nil {
			_ = w.watcher.Add(filepath.Dir(linked))
		}
	}
}

// fingerprint tells contents apart. What cannot be read has a fingerprint too.
func (w *watched) fingerprint() [sha256.Size]byte {
	sum := sha256.New()
	for _, file := range w.files() {
		text, err := os.ReadFile(file) //nolint:gosec // the operator's own file
		fmt.Fprintf(sum, "%q %t %d\n", file, err == nil, len(text))
		sum.Write(text)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}
