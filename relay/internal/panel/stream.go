package panel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// watchEvery is how often it is looked whether the session of an open stream is still there.
const watchEvery = 5 * time.Second

// streamLog follows the log: what the API streams, as rows of the page's table.
func streamLog(v *visit) error {
	f := readLogFilter(v)
	if err := checkTimes(v, f.Since, f.Until); err != nil {
		return err
	}
	q := logCall(v, &f)
	if after := v.r.URL.Query().Get("after"); after != "" {
		q.Set("after", after)
	}
	known, err := readNames(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(v.r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watchTail(ctx, v, cancel)
	}()
	r := v.r.Clone(ctx)
	r.URL = &url.URL{Path: "/v1/attempts/stream", RawQuery: q.Encode()}
	r.Header = http.Header{"Accept": {"text/event-stream"}}
	if last := v.r.Header.Get("Last-Event-Id"); last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	v.panel.api.ServeSession(&rowWriter{ResponseWriter: v.w, visit: v, known: known, showEndpoint: v.r.URL.Query().Get("one") == ""}, r, v.session)
	cancel()
	<-done
	return nil
}

// watchTail ends a stream with its session. A stream is no use of a session: it goes on without a
// person.
func watchTail(ctx context.Context, v *visit, end context.CancelFunc) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !v.login {
			continue
		}
		s, err := v.panel.sessions.Session(ctx, hashOf(v.token))
		if errors.Is(err, ErrNoSession) || err == nil && s.over(v.panel.now()) {
			end()
			return
		}
	}
}

// rowWriter turns the attempts of the API's stream into rows of a table, and lets the rest pass.
type rowWriter struct {
	http.ResponseWriter

	visit        *visit
	known        names
	showEndpoint bool
	begun        bool
	streams      bool // the API streams; otherwise it refuses
}

// Unwrap lets http.ResponseController reach the connection.
func (w *rowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter. The API writes whole events.
func (w *rowWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun, w.streams = true, w.Header().Get("Content-Type") == "text/event-stream"
	}
	if !w.streams {
		return w.ResponseWriter.Write(p)
	}
	var out bytes.Buffer
	for event := range bytes.SplitSeq(p, []byte("\n\n")) {
		if len(event) == 0 {
			continue
		}
		if data, ok := bytes.CutPrefix(event, []byte("event: attempt\ndata: ")); ok {
			if err := w.row(&out, data); err != nil {
				return 0, err
			}
			continue
		}
		out.Write(event)
		out.WriteString("\n\n")
	}
	if _, err := w.ResponseWriter.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// row renders an attempt.
func (w *rowWriter) row(out *bytes.Buffer, data []byte) error {
	row := &attemptRow{ShowEndpoint: w.showEndpoint, root: w.visit.site.root}
	var a api.Attempt
	if err := json.Unmarshal(data, &a); err != nil {
		return err
	}
	if _, ok := w.known[a.EndpointID]; !ok && w.showEndpoint {
		w.learn(a.EndpointID)
	}
	row.Attempt, row.EndpointName = a, w.known.Of(a.EndpointID)
	var html bytes.Buffer
	if err := w.visit.site.pages["log"].ExecuteTemplate(&html, "attempt-row", row); err != nil {
		return err
	}
	out.WriteString("event: row\ndata: ")
	out.Write(bytes.Map(inLine, visible(html.Bytes())))
	out.WriteString("\n\n")
	return nil
}

// inLine is a character within a line: either of these would end it, and what follows would be a
// field of the stream.
func inLine(r rune) rune {
	if r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

// learn reads the name of an endpoint that was made meanwhile.
func (w *rowWriter) learn(id string) {
	var e api.Endpoint
	if w.visit.get(pathOf("endpoints", id), nil, &e) != nil {
		e = api.Endpoint{Name: id} // gone, or not to be seen: its id stands for it
	}
	w.known[id] = e
}
