package panel

import (
	"net/http"
	"net/url"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// endpointPage is the common part of the pages of one endpoint.
type endpointPage struct {
	api.Endpoint

	Tab    string
	Stats  *api.StatsByTime
	Recent []*attemptRow
	Waits  []api.Delivery
	More   bool // there are more that wait
	Trend  []point
	Parts  breakdown
	Copies []copied
}

func readEndpoint(v *visit) (api.Endpoint, error) {
	var e api.Endpoint
	err := v.get(pathOf("endpoints", v.r.PathValue("id")), nil, &e)
	return e, err
}

func showEndpoint(v *visit) error {
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	body := &endpointPage{Endpoint: e, Tab: "overview", Stats: new(api.StatsByTime)}
	if err := v.get(pathOf("endpoints", e.ID, "stats"), nil, body.Stats); err != nil {
		return err
	}
	if v.may().ReadDeliveries {
		var recent api.Page[api.Attempt]
		if err := v.get(pathOf("endpoints", e.ID, "attempts"), url.Values{"limit": {"8"}}, &recent); err != nil {
			return err
		}
		body.Recent = attemptRows(v, recent.Data, nil)
		var waits api.Page[api.Delivery]
		if err := v.get("/v1/deliveries", url.Values{"endpoint_id": {e.ID}, "limit": {"5"}}, &waits); err != nil {
			return err
		}
		body.Waits, body.More = waits.Data, waits.NextCursor != ""
	}
	if body.Parts, err = readBreakdown(v, e.ID); err != nil {
		return err
	}
	if body.Trend, err = readTrend(v, e.ID); err != nil {
		return err
	}
	s := statement{columns: "hour, attempts, delivered, failed, dead", from: "tailpost.endpoint_stats", order: "hour DESC", limit: 168}
	s.equal("endpoint_id", e.ID)
	body.Copies = copiesOf(v, s.String(), pathOf("endpoints", e.ID), nil)
	v.show(http.StatusOK, "endpoint", e.Name, "endpoints", body)
	return nil
}

// act is something that a person may do to an endpoint, with the page that asks whether they mean
// it.
type act struct {
	Verb   string // on the button
	Title  string
	What   string // happens then
	Danger bool
	Retype bool // the name is to be typed
	done   string
}

func actOf(name string) (act, bool) {
	a, ok := map[string]act{
		"pause": {
			Verb: "Pause", Title: "Pause this endpoint?", done: "paused",
			What: "Nothing is sent to it until it is resumed. Its events are queued in the database and go out then, in order.",
		},
		"resume": {
			Verb: "Resume", Title: "Resume this endpoint?", done: "resumed",
			What: "What is queued goes out first, at the endpoint's rate.",
		},
		"enable": {
			Verb: "Enable", Title: "Enable this endpoint?", done: "enabled",
			What: "Deliveries start again, with what is queued first. If it fails as before, it is disabled again.",
		},
		"rotate-secret": {
			Verb: "Rotate the secret", Title: "Give this endpoint a new secret?",
			What: "The new secret is shown once, on the next page. The old one signs as well until the grace period is over, so that the receiver can change in peace.",
		},
		"delete": {
			Verb: "Delete", Title: "Delete this endpoint?", done: "deleted", Danger: true, Retype: true,
			What: "It gets no further event, and what is still undelivered to it is discarded. Its attempts stay on record. This cannot be undone.",
		},
	}[name]
	return a, ok
}

// confirmPage asks whether a person means it.
type confirmPage struct {
	api.Endpoint
	act

	Name    string // of the act
	Nonce   string // of this form
	Pending int64
	Problem string
}

func confirmEndpoint(v *visit) error { return askEndpoint(v, "", http.StatusOK) }

func askEndpoint(v *visit, problem string, status int) error {
	name := v.r.PathValue("act")
	a, ok := actOf(name)
	if !ok {
		return showNothing(v)
	}
	scope := config.ScopeEndpointsWrite
	if name == "rotate-secret" {
		scope = config.ScopeSecretsWrite
	}
	if !v.session.May(scope) {
		return lacking(v, scope)
	}
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	body := &confirmPage{Endpoint: e, act: a, Name: name, Nonce: newToken(), Problem: problem}
	if name == "delete" && v.may().ReadDeliveries {
		for _, state := range []string{"dead", "pending"} {
			counted, err := countDeliveries(v, map[string]any{"endpoint_id": e.ID, "state": state})
			if err != nil {
				return err
			}
			body.Pending += counted.Matched
		}
	}
	v.show(status, "confirm", a.Verb+" "+e.Name, "endpoints", body)
	return nil
}

func actOnEndpoint(v *visit) error {
	name := v.r.PathValue("act")
	a, ok := actOf(name)
	if !ok {
		return showNothing(v)
	}
	if v.r.PostFormValue("sure") != "yes" {
		return askEndpoint(v, "Say that you mean it.", http.StatusUnprocessableEntity)
	}
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	if a.Retype && v.r.PostFormValue("name") != e.Name {
		return askEndpoint(v, "That is not the endpoint's name: nothing was changed.", http.StatusUnprocessableEntity)
	}
	switch name {
	case "rotate-secret":
		return rotateSecret(v, &e)
	case "delete":
		if err := v.do(api.Request{Method: http.MethodDelete, Path: pathOf("endpoints", e.ID)}, nil); err != nil {
			return err
		}
		v.see("endpoints", a.done)
		return nil
	}
	if err := v.post(pathOf("endpoints", e.ID, name), nil, nil); err != nil {
		return err
	}
	v.see("endpoints/"+url.PathEscape(e.ID), a.done)
	return nil
}

// verifyEndpoint asks an endpoint now whether it wants events.
func verifyEndpoint(v *visit) error {
	id := v.r.PathValue("id")
	var came api.Verification
	if err := v.post(pathOf("endpoints", id, "verify"), nil, &came); err != nil {
		return err
	}
	done := "unverified"
	if came.Verified {
		done = "verified"
	}
	v.see("endpoints/"+url.PathEscape(id), done)
	return nil
}
