package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long contents must stay as they are before a change counts, so that a half-written
// file is not read.
const quiet = 200 * time.Millisecond

// Watch calls onChange each time the contents of the configuration at path, or of a file that it
// names, have changed and then been left alone for a moment. It watches folders, not files, so that
// it also sees editors that write a new file and rename it, and links that are swapped: those of a
// Kubernetes ConfigMap or Secret, or one to the folder of a release. It blocks until ctx is done,
// and returns nil then; an error means that it could not watch at all.
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
	w.know()
	next := time.NewTimer(quiet)
	next.Stop()
	for looking := false; ; {
		var ok bool
		select {
		case <-ctx.Done():
			return nil
		case w.named = <-named:
			w.know()
			continue
		case <-next.C:
			changed, again := w.look()
			if looking = again; again {
				next.Reset(quiet)
			}
			if changed {
				onChange()
			}
			continue
		case _, ok = <-watcher.Events:
		case _, ok = <-watcher.Errors: // events were lost: look
		}
		if !ok {
			return errors.New("watch configuration: the watcher ended")
		}
		// A folder has other files too, of which one may never be left alone: events say when to
		// begin to look, and contents whether they were.
		if !looking {
			looking = true
			w.begin()
			next.Reset(quiet)
		}
	}
}

// watched is a configuration and the files that it names.
type watched struct {
	path    string
	named   []string
	watcher *fsnotify.Watcher

	seen contents // that somebody knows of
	last contents // at the last look
}

// know takes what is there now for known.
func (w *watched) know() {
	w.follow()
	w.seen = w.fingerprint()
}

// begin looks for the first time after something happened.
func (w *watched) begin() {
	w.follow()
	w.last = w.fingerprint()
}

// look reports whether the contents have changed and were left alone since the last look, and
// whether to look again, because they were not.
func (w *watched) look() (changed, again bool) {
	before := w.last
	w.begin()
	switch w.last {
	case w.seen:
		return false, false
	case before:
		w.seen = w.last
		return true, false
	}
	return false, true
}

// files returns all of them. Those that are named are there although they may not exist.
func (w *watched) files() []string {
	files, _ := configFiles(w.path) // gone for now: the folder tells when it is back
	return append(files, w.named...)
}

// follow also watches the folders of named files, and those that have a link on the way to one or
// are at its end: another program may swap any of the links, or write behind the last.
func (w *watched) follow() {
	for _, file := range w.files() {
		for _, folder := range folders(file) {
			// One that cannot be watched still has the links into it watched, and one that is not
			// there cannot be.
			_ = w.watcher.Add(folder)
		}
	}
}

// mostLinks is how many links are followed from one to the next, as by the system.
const mostLinks = 40

// folders returns those that have a link on the way to a file, and the one that has the file
// itself.
func folders(file string) (found []string) {
	for range mostLinks {
		link := firstLink(file)
		if link == "" {
			break
		}
		found = append(found, filepath.Dir(link))
		to, err := os.Readlink(link)
		if err != nil {
			break // it has just gone: its folder tells when it is back
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(link), to)
		}
		file = filepath.Join(to, strings.TrimPrefix(file, link))
	}
	return append(found, filepath.Dir(file))
}

// firstLink returns the shortest beginning of a path that is a symbolic link; empty: none is.
func firstLink(path string) string {
	if parent := filepath.Dir(path); parent != path {
		if link := firstLink(parent); link != "" {
			return link
		}
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return ""
	}
	return path
}

// contents are a fingerprint of files.
type contents [sha256.Size]byte

// fingerprint tells contents apart. What cannot be read has a fingerprint too.
func (w *watched) fingerprint() contents {
	sum := sha256.New()
	for _, file := range w.files() {
		text, err := os.ReadFile(file) //nolint:gosec // the operator's own file
		fmt.Fprintf(sum, "%q %t %d\n", file, err == nil, len(text))
		sum.Write(text)
	}
	return contents(sum.Sum(nil))
}
