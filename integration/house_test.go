package integration_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// The measures of the house: what is beyond them wants to be two.
const (
	fileLines    = 500
	typeFiles    = 4 // that hold the methods of one type
	rootFiles    = 8 // of package relay, without tests
	commentWidth = 100
)

// sourceFile is a file of Go and what stands in it.
type sourceFile struct {
	path string // slash-separated, from the root
	text []byte
	tree *ast.File
}

// sources parses all of the checkout's Go, but for modules of their own.
func sources(t *testing.T) (files []sourceFile, fset *token.FileSet) {
	t.Helper()
	fset = token.NewFileSet()
	root := kit.Root()
	require.NoError(t, filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(at, "go.mod"))
			if at != root && err == nil || strings.HasPrefix(entry.Name(), ".") && at != root || entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(at) != ".go" {
			return nil
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, at, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, at)
		files = append(files, sourceFile{path: filepath.ToSlash(rel), text: text, tree: tree})
		return err
	}))
	require.NotEmpty(t, files)
	return files, fset
}

// receiverOf returns the name of the type that a method belongs to; empty for a function.
func receiverOf(decl ast.Decl) string {
	f, ok := decl.(*ast.FuncDecl)
	if !ok || f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	switch generic := of.(type) {
	case *ast.IndexExpr:
		of = generic.X
	case *ast.IndexListExpr:
		of = generic.X
	}
	name, _ := of.(*ast.Ident)
	return name.Name
}

// TestTheHouseKeepsItsMeasures holds the code to what lets a newcomer find their way: files and
// comments of a length that can be read, and no type whose methods are all over a package.
func TestTheHouseKeepsItsMeasures(t *testing.T) {
	t.Parallel()
	files, fset := sources(t)
	homes := make(map[string]map[string]bool) // of types -> files with their methods
	docs := make(map[string]bool)             // folder -> it has a doc.go
	root := 0
	for _, f := range files {
		if lines := bytes.Count(f.text, []byte("\n")); lines > fileLines {
			t.Errorf("%s has %d lines, more than %d", f.path, lines, fileLines)
		}
		dir, name := filepath.ToSlash(filepath.Dir(f.path)), filepath.Base(f.path)
		docs[dir] = docs[dir] || name == "doc.go"
		if dir == "relay" && !strings.HasSuffix(name, "_test.go") {
			root++
		}
		checkWidth(t, f, fset)
		for _, decl := range f.tree.Decls {
			if of := receiverOf(decl); of != "" {
				of = dir + "." + of
				if homes[of] == nil {
					homes[of] = make(map[string]bool)
				}
				homes[of][name] = true
			}
		}
	}
	for of, in := range homes {
		if len(in) > typeFiles {
			t.Errorf("%s has methods in %d files, more than %d", of, len(in), typeFiles)
		}
	}
	for dir, has := range docs {
		if !has {
			t.Errorf("%s has no doc.go", dir)
		}
	}
	if root > rootFiles {
		t.Errorf("relay has %d files, more than %d", root, rootFiles)
	}
}

// checkWidth finds comments that end beyond the last column. A line with an address is as long as
// it has to be, and so is one that a tool reads.
func checkWidth(t *testing.T, f sourceFile, fset *token.FileSet) {
	t.Helper()
	lines := bytes.Split(f.text, []byte("\n"))
	for _, group := range f.tree.Comments {
		if strings.HasPrefix(group.Text(), "Output:") {
			continue // go test compares it with what the example printed, line by line
		}
		for _, comment := range group.List {
			at := fset.Position(comment.Pos()).Line
			line := string(bytes.ReplaceAll(lines[at-1], []byte("\t"), []byte("    ")))
			if !strings.HasPrefix(strings.TrimSpace(line), "//") || strings.HasPrefix(comment.Text, "//go:") || strings.Contains(line, "://") {
				continue
			}
			if width := utf8.RuneCountInString(line); width > commentWidth {
				t.Errorf("%s:%d: the comment has %d columns, more than %d", f.path, at, width, commentWidth)
			}
		}
	}
}
