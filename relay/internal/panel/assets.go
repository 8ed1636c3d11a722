package panel

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// files are the templates, styles, scripts and fonts of the panel.
//
//go:embed templates assets
var files embed.FS

// assets are the files that pages refer to. Their names carry a hash of what is in them, so that a
// browser may keep them.
type assets struct {
	root  string            // of the site
	paths map[string]string // name -> path under root
	texts map[string][]byte // path under root -> contents
}

const hashLength = 10

func loadAssets(root string) *assets {
	a := &assets{root: root, paths: make(map[string]string), texts: make(map[string][]byte)}
	err := fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		a.add(name[len("assets/"):], text)
		return nil
	})
	if err != nil {
		panic(err) // broken code: the files are in the binary
	}
	// The style refers to the fonts.
	style := a.texts[a.paths["panel.css"]]
	delete(a.texts, a.paths["panel.css"])
	for _, font := range []string{"fonts/inter.woff2", "fonts/mono.woff2"} {
		style = bytes.ReplaceAll(style, []byte(font), []byte(path.Base(a.paths[font])))
	}
	a.add("panel.css", style)
	return a
}

func (a *assets) add(name string, text []byte) {
	sum := sha256.Sum256(text)
	ext := path.Ext(name)
	base := path.Base(name)
	at := "assets/" + base[:len(base)-len(ext)] + "." + hex.EncodeToString(sum[:])[:hashLength] + ext
	a.paths[name], a.texts[at] = at, text
}

// path returns where a page finds a file.
func (a *assets) path(name string) string { return a.root + a.paths[name] }

// serve answers with a file, which a browser may keep for ever: its name changes with its content.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[len(a.root):]
	text, ok := a.texts[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if path.Ext(name) == ".woff2" {
		w.Header().Set("Content-Type", "font/woff2")
	}
	http.ServeContent(w, r, path.Base(name), time.Time{}, bytes.NewReader(text))
}
