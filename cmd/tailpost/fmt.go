package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/config"
)

func newFmtCommand(a *app) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE|DIRECTORY|-]...",
		Short: "Format configuration files",
		Long: `Rewrite configuration files in the canonical format, and print the names of those that changed. Without an argument that is the file
of --config; of a directory, its *.hcl files; - formats stdin to stdout.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{a.configPath}
			}
			if len(args) == 1 && args[0] == "-" {
				return formatStdin(a, check)
			}
			files, err := configFiles(args)
			if err != nil {
				return err
			}
			return formatFiles(a, files, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; exit with 1 if a file would change, 3 if one does not parse")
	return cmd
}

// configFiles replaces each directory by its *.hcl files. No command reads those whose names begin
// with a dot, such as an editor's.
func configFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() && filepath.Ext(entry.Name()) == ".hcl" && !strings.HasPrefix(entry.Name(), ".") {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	return files, nil
}

func formatStdin(a *app, check bool) error {
	source, err := a.readInput("-")
	if err != nil {
		return err
	}
	formatted, err := config.FormatSource(source, "stdin")
	switch {
	case err != nil:
		return asConfigError(err)
	case !check:
		return a.printf("%s", formatted)
	case !bytes.Equal(source, formatted):
		return &quietError{code: exitFailed}
	}
	return nil
}

// formatFiles formats as many files as it can, and prints the names of those that differ from their
// canonical format.
func formatFiles(a *app, files []string, check bool) error {
	var result error
	for _, file := range files {
		changed, err := formatFile(file, check)
		if err != nil {
			// Told here, because the files after this one are formatted all the same.
			result = &quietError{code: a.report(err)}
			continue
		}
		if !changed {
			continue
		}
		if err := a.printf("%s\n", file); err != nil {
			return err
		}
		if check && result == nil {
			result = &quietError{code: exitFailed}
		}
	}
	return result
}

func formatFile(name string, check bool) (changed bool, err error) {
	source, err := os.ReadFile(name) //nolint:gosec // the file that the user named
	if err != nil {
		return false, fmt.Errorf("format: %w", err)
	}
	formatted, err := config.FormatSource(source, name)
	if err != nil {
		return false, asConfigError(err)
	}
	if bytes.Equal(source, formatted) {
		return false, nil
	}
	if check {
		return true, nil
	}
	// Written in place: a symbolic link, the file's mode and its owner stay as they are.
	f, err := os.OpenFile(name, os.O_WRONLY, 0) //nolint:gosec // the file that the user named
	if err != nil {
		return false, fmt.Errorf("format: %w", err)
	}
	if err := errors.Join(rewrite(f, source, formatted), f.Close()); err != nil {
		return false, fmt.Errorf("format: %w", err)
	}
	return true, nil
}

// rewritable is a file whose contents change in place.
type rewritable interface {
	io.WriterAt
	Truncate(size int64) error
}

// rewrite replaces the contents of a file. What exceeds its former length is written first, so that
// a full disk leaves the file as it was.
func rewrite(f rewritable, was, is []byte) error {
	if len(is) > len(was) {
		if _, err := f.WriteAt(is[len(was):], int64(len(was))); err != nil {
			return errors.Join(err, f.Truncate(int64(len(was))))
		}
	}
	if _, err := f.WriteAt(is[:min(len(is), len(was))], 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(is)))
}
