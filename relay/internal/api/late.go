package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"
)

// lateWriter sends the status with the first byte of the body, so that an answer that cannot be
// written becomes an error and no broken success.
type lateWriter struct {
	http.ResponseWriter

	status int
	sent   bool
}

// WriteHeader implements http.ResponseWriter.
func (w *lateWriter) WriteHeader(status int) {
	if status < http.StatusOK {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
}

// Write implements http.ResponseWriter.
func (w *lateWriter) Write(p []byte) (int, error) {
	w.send()
	return w.ResponseWriter.Write(p)
}

// FlushError is called by http.ResponseController.
func (w *lateWriter) FlushError() error {
	w.send()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is called by http.ResponseController.
func (w *lateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// send sends the status, once.
func (w *lateWriter) send() {
	if w.sent {
		return
	}
	w.sent = true
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// fail answers with a problem if nothing was sent yet.
func (w *lateWriter) fail(p *Problem) {
	if w.sent {
		return
	}
	w.Header().Del("ETag")
	writeProblem(w, p)
	w.send()
}

// errEncoding ends a request whose answer cannot be written.
var errEncoding = errors.New("the answer cannot be encoded")

// encodeBody writes v only if all of it can be written. It panics otherwise: huma would follow a
// success with an error.
func encodeBody(w io.Writer, v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Errorf("%w: %w", errEncoding, err))
	}
	_, err := w.Write(text.Bytes())
	return err
}

// decodeBody reads one JSON document, and nothing may follow it. The fields of an object are named
// once each: which of two values would count is a matter of the reader.
func decodeBody(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("invalid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("invalid character after the end of the document")
	}
	if _, first := v.(*any); first {
		return nil // huma looks at it before it decodes it
	}
	return namedTwice(json.NewDecoder(bytes.NewReader(data)))
}

// namedTwice returns an error that names a field which an object has twice; nil: there is none.
func namedTwice(dec *json.Decoder) error {
	type object struct {
		names map[string]bool // nil: a list
		key   bool            // what comes next is a name
	}
	var open []object
	for {
		token, err := dec.Token()
		if err != nil {
			return nil //nolint:nilerr // the end: it was decoded before
		}
		top := len(open) - 1
		switch delim, is := token.(json.Delim); {
		case is && (delim == '}' || delim == ']'):
			open = open[:top]
			continue
		case top >= 0 && open[top].names != nil && open[top].key:
			name, _ := token.(string)
			if open[top].names[name] {
				return fmt.Errorf("the field %q is there twice: leave one of them out", name)
			}
			open[top].names[name], open[top].key = true, false
			continue
		case top >= 0 && open[top].names != nil:
			open[top].key = true
		}
		if delim, is := token.(json.Delim); is {
			o := object{}
			if delim == '{' {
				o = object{names: make(map[string]bool), key: true}
			}
			open = append(open, o)
		}
	}
}
