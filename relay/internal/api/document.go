package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"log" //nolint:depguard // net/http wants one to be silent with
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// Version is that of the API; a change that breaks callers would be another path than /v1.
const Version = "1.0.0"

// docs is the page that shows the OpenAPI document, without a word from anywhere else.
//
//go:embed docs
var docs embed.FS

// exactNames has the names of fields taken as they are: {"Tenant": …} is not {"tenant": …}.
var exactNames = sync.OnceFunc(func() { huma.ValidateStrictCasing = true }) //nolint:gochecknoglobals // a setting of huma's

// document is the frame of the OpenAPI document and the settings of huma.
func document() huma.Config {
	exactNames()
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Tailpost",
				Version: Version,
				Description: "Endpoints, what was delivered to them and what was not. Lists are in pages: give next_cursor of one as cursor of the next. " +
					"Errors are application/problem+json (RFC 9457). Times are RFC 3339 in UTC, durations such as 15s, 5m or 24h.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "A key of the api block of the configuration, or one made by POST /v1/keys."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	cfg.CreateHooks = []func(huma.Config) huma.Config{}
	return cfg
}

func jsonFormat() huma.Format { return huma.Format{Marshal: encodeBody, Unmarshal: decodeBody} }

func errorModelType() reflect.Type { return reflect.TypeFor[huma.ErrorModel]() }
func problemType() reflect.Type    { return reflect.TypeFor[Problem]() }

// documentText is the document as it is served and committed.
func documentText(doc *huma.OpenAPI) ([]byte, error) {
	nameReserved(doc)
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return nil, fmt.Errorf("indent the OpenAPI document: %w", err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// serveDocument serves the document itself.
func serveDocument(text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		// A caller that left before the answer gets none.
		_, _ = w.Write(text)
	}
}

// serveDocs serves the page that shows the document.
func serveDocs(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := docs.ReadFile("docs/" + name)
		if err != nil {
			writeProblem(w, problem(http.StatusNotFound, "There is no such page."))
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		_, _ = w.Write(text)
	}
}

// discardLog is for net/http, which would write to standard error what a stranger's handshake did.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
