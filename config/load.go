package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/config/diag"
)

// Options is what a configuration may ask of its surroundings.
type Options struct {
	// Getenv looks up environment variables for env(). Nil: none is set.
	Getenv func(name string) (value string, ok bool)
	// ReadFile reads configuration files, and what file() names. Nil: os.ReadFile.
	ReadFile func(path string) ([]byte, error)
	// DatabaseOnly reads the blocks database, outbox, retention and version only, for work that
	// needs no more: what the others ask of the environment need not be there. The Config has no
	// endpoints then.
	DatabaseOnly bool
	// Fanout has DatabaseOnly read the block fanout too, if there is one, and then network, whose
	// authorities vouch for its servers.
	Fanout bool
	// Listens also reads the certificate and the key of the API, for work that is to listen with
	// them: others may run where the key is not theirs to read.
	Listens bool
}

// Load reads a configuration file, or all files *.hcl of a directory, merged in the order of their
// names. All problems come at once. The Config is nil if Diagnostics has errors; it may have
// warnings beside a Config.
func Load(path string, opts Options) (*Config, Diagnostics) {
	opts = opts.complete()
	paths, err := configFiles(path)
	if err != nil {
		return nil, Diagnostics{unreadable(path, err)}
	}
	var diags Diagnostics
	files := make(map[string][]byte, len(paths))
	for _, p := range paths {
		text, err := opts.ReadFile(p)
		if err != nil {
			diags = append(diags, unreadable(p, err))
			continue
		}
		files[p] = text
	}
	if len(diags) > 0 {
		return nil, diags
	}
	return Parse(files, opts)
}

func (o Options) complete() Options {
	if o.Getenv == nil {
		o.Getenv = func(string) (string, bool) { return "", false }
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	return o
}

func unreadable(path string, err error) Diagnostic {
	reason := err
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		reason = pathError.Err
	}
	return Diagnostic{
		Severity: SeverityError, File: path, Summary: "Unreadable configuration",
		Detail: "Check that the path is right and the file readable: " + reason.Error() + ".",
	}
}

// errNoFiles is a directory without configuration.
var errNoFiles = errors.New("the directory has no *.hcl file")

// configFiles returns the files that make up the configuration at path, in order.
func configFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	var files []string
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".hcl" || strings.HasPrefix(name, ".") {
			continue
		}
		// The files of a Kubernetes ConfigMap are symbolic links.
		if info, err := os.Stat(filepath.Join(path, name)); err == nil && info.IsDir() {
			continue
		}
		files = append(files, filepath.Join(path, name))
	}
	if len(files) == 0 {
		return nil, errNoFiles
	}
	slices.Sort(files)
	return files, nil
}

// Parse is Load for files that are in memory, by name. Paths in file() are relative to the folder
// of the file's name.
func Parse(files map[string][]byte, opts Options) (*Config, Diagnostics) {
	d := newDecoder(opts.complete())
	names := sortedKeys(files)
	bodies := make(map[string]*hclsyntax.Body, len(names))
	for _, name := range names {
		src := diag.NewSource(name, files[name])
		d.sources[name] = src
		body, diags := parseBody(src)
		d.diags = append(d.diags, diags...)
		if body != nil {
			bodies[name] = body
		}
	}
	if d.opts.DatabaseOnly {
		d.readOnly = databaseBlocks(d.opts, bodies)
	}
	// What a file that does not parse says is not known: nothing is called missing then.
	whole := !d.diags.HasErrors()
	// The defaults come first, wherever they stand.
	for _, only := range []bool{true, false} {
		for _, name := range names {
			if bodies[name] != nil {
				d.file(d.sources[name], bodies[name], only)
			}
		}
	}
	done := d.config.complete(func(p problem) {
		if opts.DatabaseOnly && p.field.name == "endpoint" {
			return // they were not read
		}
		d.problem(SeverityError, p, cmp.Or(names...))
	})
	d.warn(unserved(done), cmp.Or(names...))
	if !whole {
		d.diags = slices.DeleteFunc(d.diags, func(p Diagnostic) bool { return p.Field != "" })
	}
	d.diags = d.diags.Sorted()
	if d.diags.HasErrors() {
		return nil, d.diags
	}
	return done, d.diags
}

// databaseBlocks are the blocks that are read where Options has DatabaseOnly.
func databaseBlocks(opts Options, bodies map[string]*hclsyntax.Body) []string {
	read := []string{"database", "outbox", "retention", "version"}
	for _, body := range bodies {
		if opts.Fanout && slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "fanout" }) {
			return append(read, "fanout", "network")
		}
	}
	return read
}
