package panel

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// testPage sends a test event and shows what came of it.
type testPage struct {
	*endpointPage

	Type      string
	Data      string // the payload as a person edits it; empty: the catalogue's example
	Catalogue []api.EventType
	Made      *attemptRow
	Answer    shown
	Problem   *api.Problem
}

func testForm(v *visit) error {
	body := &testPage{Type: strings.TrimSpace(v.r.URL.Query().Get("type"))}
	if body.Type != "" {
		var t typeDetail
		switch err := v.get(pathOf("event-types", body.Type), nil, &t); {
		case err == nil:
			body.Data = indent(t.Example)
		case !notFound(err):
			return err
		}
	}
	return showTest(v, http.StatusOK, body)
}

func showTest(v *visit, status int, body *testPage) error {
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	var types api.Page[api.EventType]
	if err := v.get("/v1/event-types", queryOf("limit", textOf(namesKnown)), &types); err != nil {
		return err
	}
	body.endpointPage, body.Catalogue = &endpointPage{Endpoint: e, Tab: "test"}, types.Data
	v.show(status, "test", e.Name+": test", "endpoints", body)
	return nil
}

func sendTest(v *visit) error {
	body := &testPage{Type: strings.TrimSpace(v.r.PostFormValue("type")), Data: strings.TrimSpace(v.r.PostFormValue("data"))}
	asked := map[string]any{}
	if body.Data != "" {
		if !json.Valid([]byte(body.Data)) {
			body.Problem = refuse(http.StatusUnprocessableEntity, "The payload is not valid JSON. Nothing was sent.")
			return showTest(v, http.StatusUnprocessableEntity, body)
		}
		asked["data"] = json.RawMessage(body.Data)
	}
	if body.Type != "" {
		asked["type"] = body.Type
	}
	var made api.Attempt
	err := v.post(pathOf("endpoints", v.r.PathValue("id"), "test"), asked, &made)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusNotFound && p.Status != http.StatusUnauthorized {
		body.Problem = p
		return showTest(v, p.Status, body)
	}
	if err != nil {
		return err
	}
	body.Made, body.Answer = &attemptRow{Attempt: made, root: v.site.root}, showText(made.ResponseBody)
	return showTest(v, http.StatusOK, body)
}
