package panel

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// replayForm asks for a replay: first it is counted, then begun.
type replayForm struct {
	Endpoint, Types, Since, Until string
	Endpoints                     names
	Counted                       *api.Replay
	Seal                          string // what was counted, and that it was this form
	Problem                       *api.Problem
	Nonce                         string
}

// countedReplay is what was counted: times as they were then, so that it is this that begins.
type countedReplay struct {
	EndpointID string   `json:"endpoint_id"`
	EventTypes []string `json:"event_types,omitempty"`
	Since      string   `json:"since,omitempty"`
	Until      string   `json:"until,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
}

func newReplay(v *visit) error {
	q := v.r.URL.Query()
	form := &replayForm{Endpoint: q.Get("endpoint"), Types: q.Get("types"), Since: q.Get("since"), Until: q.Get("until"), Nonce: newToken()}
	return showReplayForm(v, http.StatusOK, form)
}

func showReplayForm(v *visit, status int, form *replayForm) (err error) {
	if form.Endpoints, err = readNames(v); err != nil {
		return err
	}
	v.show(status, "replay-form", "Replay what was missed", "replays", form)
	return nil
}

func createReplay(v *visit) error {
	of := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	form := &replayForm{Endpoint: of("endpoint"), Types: of("types"), Since: of("since"), Until: of("until"), Nonce: of("nonce")}
	act, err := readAct(of, "count", "begin")
	if err != nil {
		return err
	}
	if act == "count" {
		return countReplay(v, form)
	}
	counted, ok := form.counted(v, of("counted"))
	if !ok {
		form.Problem = refuse(http.StatusUnprocessableEntity, "The form is not the one that was counted. Nothing was begun: count it again.")
		return showReplayForm(v, http.StatusUnprocessableEntity, form)
	}
	var made api.Replay
	err = v.do(api.Request{Method: http.MethodPost, Path: "/v1/replays", Header: onceHeader(v), Body: counted}, &made)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized {
		form.Problem = p
		return showReplayForm(v, p.Status, form)
	}
	if err != nil {
		return err
	}
	v.see("replays/"+url.PathEscape(made.ID), "replaying")
	return nil
}

// countReplay counts what a form chooses, and has the form remember what that was.
func countReplay(v *visit, form *replayForm) error {
	asked := countedReplay{EndpointID: form.Endpoint, EventTypes: words(form.Types), Since: sinceOf(v, form.Since), Until: sinceOf(v, form.Until), DryRun: true}
	if form.Since != "" && asked.Since == "" || form.Until != "" && asked.Until == "" {
		form.Problem = refuse(http.StatusUnprocessableEntity, writeTime)
		return showReplayForm(v, http.StatusUnprocessableEntity, form)
	}
	var found api.Replay
	err := v.post("/v1/replays", asked, &found)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized {
		form.Problem = p
		return showReplayForm(v, p.Status, form)
	}
	if err != nil {
		return err
	}
	asked.Until, asked.DryRun = iso(found.Until), false
	text, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	form.Counted, form.Nonce = &found, newToken() // another count is another replay
	form.Seal = base64.RawURLEncoding.EncodeToString(text) + "." + form.mark(v, string(text))
	return showReplayForm(v, http.StatusOK, form)
}

// mark stands for this session's having counted this form.
func (f *replayForm) mark(v *visit, counted string) string {
	return markOf(v, "replay", counted, f.Endpoint, strings.Join(words(f.Types), " "), f.Since, f.Until)
}

// counted returns what was counted; false: it was not this form, or nothing was.
func (f *replayForm) counted(v *visit, seal string) (c countedReplay, ok bool) {
	encoded, mark, _ := strings.Cut(seal, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !hmac.Equal([]byte(mark), []byte(f.mark(v, string(text)))) {
		return c, false
	}
	return c, json.Unmarshal(text, &c) == nil
}
