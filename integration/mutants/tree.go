package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// tree is a copy of the checkout in which one mutant at a time lives. It is not safe for
// concurrent use.
type tree struct{ dir string }

// copyTree copies into dir what git tracks of the checkout at root, and what it neither tracks nor
// ignores, as it is on disk.
func copyTree(ctx context.Context, root, dir string) (*tree, error) {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of the checkout: %w", err)
	}
	for name := range bytes.SplitSeq(names, []byte{0}) {
		if len(name) == 0 {
			continue
		}
		if err := copyFile(filepath.Join(root, string(name)), filepath.Join(dir, string(name))); err != nil {
			return nil, err
		}
	}
	// The verifiers' packages are ignored by git and as good in a copy.
	modules := filepath.Join("integration", "receivers", "node_modules")
	if _, err := os.Stat(filepath.Join(root, modules)); err == nil {
		if err := os.Symlink(filepath.Join(root, modules), filepath.Join(dir, modules)); err != nil {
			return nil, fmt.Errorf("link the verifiers: %w", err)
		}
	}
	return &tree{dir: dir}, nil
}

// copyFile copies a file with its mode. One that git lists and that is gone from disk is left out.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}

// with puts a mutant in, calls f, and takes it out again.
func (t *tree) with(m mutant, f func() error) (err error) {
	path := filepath.Join(t.dir, filepath.FromSlash(m.file))
	before, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	after, err := m.apply(string(before))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, before, 0o600)) }()
	return f()
}
