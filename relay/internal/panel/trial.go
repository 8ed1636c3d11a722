package panel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// trial shows what a form's subscription would have done with recent events.
type trial struct {
	api.Backtest

	Bodies []triedBody `json:"bodies"`
}

// triedBody holds the body that an endpoint sends for an event, and the one it would send.
type triedBody struct {
	EventID string          `json:"event_id"`
	Before  json.RawMessage `json:"before"`
	After   json.RawMessage `json:"after"`
	Newest  json.RawMessage `json:"newest"`
	Differs []string        `json:"differs"`
}

// tryForm tries the form's subscription on recent events. Nothing is stored or sent.
func tryForm(v *visit, f *endpointForm, path string) error {
	asked := make(map[string]any)
	settings := f.settings(nil)
	for _, name := range []string{"events", "where", "body", "tenant", "payload_version"} {
		if value, ok := settings[name]; ok {
			asked[name] = value
		}
	}
	if f.ID != "" && !f.Several { // what is left out would stay as it is
		for _, name := range []string{"where", "body"} {
			if asked[name] == nil {
				asked[name] = ""
			}
		}
		if asked["events"] == nil {
			asked["events"] = []string{}
		}
		delete(asked, "tenant")
	}
	found := new(trial)
	err := v.post(path, asked, found)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized && p.Status != http.StatusNotFound {
		f.refused(p)
		return showForm(v, p.Status, f)
	}
	if err != nil {
		return err
	}
	f.Trial = found
	return showForm(v, http.StatusOK, f)
}

// verdict is the compiler's judgement of an expression.
type verdict struct {
	Text  string `json:"text"`
	Wrong bool   `json:"wrong"`
}

func judge(diags config.Diagnostics) verdict {
	for i := range diags {
		if d := &diags[i]; d.Severity == config.SeverityError {
			return verdict{Text: fmt.Sprintf("At line %d, character %d: %s: %s", d.Line, d.Column, d.Summary, d.Detail), Wrong: true}
		}
	}
	return verdict{Text: "It compiles."}
}

func judgeWhere(text string) verdict {
	if strings.TrimSpace(text) == "" {
		return verdict{}
	}
	_, diags := config.CompileFilter(text, "where", 1)
	return judge(diags)
}

func judgeBody(text string) verdict {
	if strings.TrimSpace(text) == "" {
		return verdict{}
	}
	_, diags := config.CompileBody(text, "body", 1)
	return judge(diags)
}

// checkExpressions compiles what a person types.
func checkExpressions(v *visit) error {
	text, err := json.Marshal(map[string]verdict{"where": judgeWhere(v.r.PostFormValue("where")), "body": judgeBody(v.r.PostFormValue("body"))})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	// A caller that left before the answer gets none.
	_, _ = v.w.Write(text)
	return nil
}
