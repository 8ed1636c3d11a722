package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// followPatience is how long a live tail may be silent: it says every 15 seconds that it lives.
	followPatience = 45 * time.Second
	// followPause is how long to wait before a tail that ended is asked for again.
	followPause = 2 * time.Second
	maxLine     = 1 << 20 // of a stream: an attempt has up to 16 KiB of an answer
)

// follower prints attempts as they are recorded. A stream that ends is gone on with where it ended,
// so that no attempt is left out unsaid.
type follower struct {
	app    *app
	client *client
	query  url.Values
	asJSON bool
	pause  time.Duration // before a stream that ended is asked for again

	lastID string // where to go on
	shown  bool   // the head of the table was printed
}

// run follows until ctx is done, which is no failure. What is refused, or never answered, is one.
func (f *follower) run(ctx context.Context) error {
	for {
		began, err := f.stream(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case !began:
			return err
		case errors.Is(err, errResult):
			return err
		}
		f.app.note("tailpost: the stream ended, asking for it again: %s", reason(err))
		again := time.NewTimer(f.pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil
		}
	}
}

// errResult is a result that could not be printed.
var errResult = errors.New("print the attempt")

// stream prints one stream to its end. began: it was answered, now or before, so that to ask again
// may help.
func (f *follower) stream(ctx context.Context) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(followPatience, func() { cancel(errors.New("it was silent for too long")) })
	defer silent.Stop()
	req, err := f.client.request(ctx, http.MethodGet, "/v1/attempts/stream", f.query, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.lastID != "" {
		req.Header.Set("Last-Event-ID", f.lastID)
	}
	res, err := f.client.do(req)
	if err != nil {
		return f.shown, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // what there is of it says enough
		// A relay that restarts, or has too many tails, may take it later.
		return f.shown && res.StatusCode >= http.StatusTooManyRequests, f.client.refusal(req.URL.Path, res.StatusCode, answer)
	}
	if err := f.head(); err != nil {
		return true, err
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	var kind, id string
	for lines.Scan() {
		silent.Reset(followPatience)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			if err := f.event(kind, value); err != nil {
				return true, fmt.Errorf("%w: %w", errResult, err)
			}
			if id != "" {
				f.lastID = id // whoever got this has seen all before it
			}
		case "":
			kind, id = "", ""
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return true, cause
	}
	if lines.Err() != nil {
		return true, lines.Err()
	}
	return true, io.ErrUnexpectedEOF
}

// The columns of a table that has no end cannot be as wide as their widest cell.
const followFormat = "%-20s  %-36s  %-20s  %-16s  %-7s  %-9s  %-6s  %-6s  %s"

func (f *follower) head() error {
	if f.shown {
		return nil
	}
	f.shown = true
	if f.asJSON {
		return nil
	}
	return f.line(attemptTable().columns, strings.ToUpper)
}

func (f *follower) event(kind, data string) error {
	switch kind {
	case "attempt":
		if f.asJSON {
			return printRaw(f.app, json.RawMessage(data))
		}
		cells, err := attemptTable().cells(json.RawMessage(data))
		if err != nil {
			return err
		}
		return f.line(cells, cellText)
	case "skipped":
		var left struct {
			Skipped int `json:"skipped"`
		}
		if err := json.Unmarshal([]byte(data), &left); err != nil {
			return fmt.Errorf("read the API's answer: %w", err)
		}
		f.app.note("tailpost: %s left out: there are more than 50 a second; a filter shows fewer", count(left.Skipped, "attempt"))
	}
	return nil
}

func (f *follower) line(cells []string, show func(string) string) error {
	values := make([]any, len(cells))
	for i := range cells {
		values[i] = show(cells[i])
	}
	return f.app.printf("%s\n", strings.TrimRight(fmt.Sprintf(followFormat, values...), " "))
}
