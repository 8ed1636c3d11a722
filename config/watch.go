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

// quiet is how long files must be left alone before a change counts, so that a half-written one is not read.
const quiet = 200 * time.Millisecond

// Watch calls onChange each time the contents of the configuration at path have changed and then been left alone for a
// moment. It watches folders, not files, so that it also sees editors that write a new file and rename it, and a
// Kubernetes ConfigMap, whose files are links that are swapped. It blocks until ctx is done, and gives nil then; an error
// means that it could not watch at all. Files that file() names are not watched.
func Watch(ctx context.Context, path string, onChange func()) error {
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
	seen := fingerprint(path)
	watchLinked(watcher, path)
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
		case <-settled.C:
			watchLinked(watcher, path)
			if now := fingerprint(path); now != seen {
				seen = now
				onChange()
			}
		}
	}
}

// watchLinked also watches the folders that links of the configuration lead to, where another program may write.
func watchLinked(watcher *fsnotify.Watcher, path string) {
	files, err := configFiles(path)
	if err != nil {
		return // gone for now: the folder tells when it is back
	}
	for _, file := range files {
		if linked, err := filepath.EvalSymlinks(file); err == nil {
			// A folder that cannot be watched still has the links into it watched.
			_ = watcher.Add(filepath.Dir(linked))
		}
	}
}

// fingerprint tells contents apart. What cannot be read has a fingerprint too.
func fingerprint(path string) [sha256.Size]byte {
	sum := sha256.New()
	files, err := configFiles(path)
	if err != nil {
		fmt.Fprintln(sum, "unreadable")
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the operator's own file
		fmt.Fprintf(sum, "%q %t %d\n", file, err == nil, len(text))
		sum.Write(text)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}
