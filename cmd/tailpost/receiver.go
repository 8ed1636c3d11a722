package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/tailpost/tailpost/relay/signature"
)

const (
	maxReceived = 64 << 20 // bytes of a body
	maxPreview  = 160      // characters of a payload on a line
)

type receiverOptions struct {
	verifier *signature.Verifier // nil: nothing is verified
	status   int                 // answer to everything, or to what fails if fail is set; 0: 200 or 503
	fail     int                 // first attempts of each event that fail
	show     func(received) error
}

// receiver is an endpoint for people: it verifies requests, prints them and answers as it was told.
type receiver struct {
	receiverOptions

	mu     sync.Mutex
	failed map[string]int // failures so far by event id; an event leaves once it is answered well
}

func newReceiver(o receiverOptions) *receiver {
	return &receiver{receiverOptions: o, failed: make(map[string]int)}
}

// received is one request and what was answered.
type received struct {
	At       time.Time       `json:"received_at"`
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Verdict  verdict         `json:"verdict"`
	Error    string          `json:"error,omitempty"` // why it was rejected
	Status   int             `json:"status"`          // what it was answered with
	Headers  http.Header     `json:"headers"`
	Body     json.RawMessage `json:"body,omitempty"`      // a body that is JSON, without its blanks
	BodyText string          `json:"body_text,omitempty"` // the body as it was signed

	preview string
}

// verdict is what the receiver thinks of a signature.
type verdict string

const (
	verified   verdict = "verified"
	unverified verdict = "unverified" // there is no secret to verify with
	rejected   verdict = "rejected"
)

// ServeHTTP takes one attempt.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "this is a webhook receiver: POST", http.StatusMethodNotAllowed)
		return
	}
	got := received{
		At: time.Now().UTC(), ID: req.Header.Get(signature.HeaderID), Headers: req.Header, Verdict: unverified,
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxReceived))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		got.Verdict, got.Error, got.Status = rejected, "body larger than 64 MiB", http.StatusRequestEntityTooLarge
	case err != nil:
		got.Verdict, got.Error, got.Status = rejected, "body cut off", http.StatusBadRequest
	default:
		r.judge(&got, body)
	}
	got.describe(body)

	// Lines are printed one at a time, and before the answer: whoever has the answer finds the
	// line.
	r.mu.Lock()
	err = r.show(got)
	r.mu.Unlock()
	if err != nil {
		http.Error(w, "the receiver could not print the event", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(got.Status)
}

// judge verifies the request and decides how it is answered.
func (r *receiver) judge(got *received, body []byte) {
	if r.verifier != nil {
		got.Verdict = verified
		if err := r.verifier.Verify(got.Headers, body); err != nil {
			got.Verdict, got.Error, got.Status = rejected, err.Error(), http.StatusUnauthorized
			return
		}
	}
	if r.fail == 0 {
		got.Status = cmp.Or(r.status, http.StatusOK)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed[got.ID] < r.fail {
		r.failed[got.ID]++
		got.Status = cmp.Or(r.status, http.StatusServiceUnavailable)
		return
	}
	delete(r.failed, got.ID)
	got.Status = http.StatusOK
}

// describe fills in what the body tells, in any of Tailpost's formats.
func (r *received) describe(body []byte) {
	r.Type = r.Headers.Get("ce-type") // CloudEvents in binary mode
	shown := body
	if json.Valid(body) {
		r.Body = body
		var envelope struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		// An error means another format: a list, a number, a type that is no text.
		if err := json.Unmarshal(body, &envelope); err == nil && envelope.Type != "" && envelope.Data != nil {
			r.Type = cmp.Or(r.Type, envelope.Type)
			shown = envelope.Data
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, shown); err == nil {
			shown = compact.Bytes()
		}
	}
	r.BodyText = strings.ToValidUTF8(string(body), "\ufffd")
	r.preview = printable(string(shown), maxPreview)
}

// printReceivedLine prints an event for people.
func (a *app) printReceivedLine(r received) error {
	verdict := string(r.Verdict)
	if r.Error != "" {
		verdict += " (" + printable(r.Error, maxPreview) + ")"
	}
	return a.printf("%s  %d  %-20s  %s  %s  %s\n", r.At.Local().Format("15:04:05.000"), r.Status,
		cmp.Or(printable(r.Type, maxPreview), "-"), cmp.Or(printable(r.ID, maxPreview), "-"), verdict, r.preview)
}

// printReceivedJSON prints an event for programs.
func (a *app) printReceivedJSON(r received) error {
	return a.printJSON(r)
}

// printable makes text from elsewhere safe for a terminal, and cuts it at limit characters.
func printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n == limit {
			b.WriteString("…")
			break
		}
		n++
		if unicode.IsPrint(c) {
			b.WriteRune(c)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(c)
		_, _ = fmt.Fprint(&b, quoted[1:len(quoted)-1])
	}
	return b.String()
}
