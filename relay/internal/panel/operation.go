package panel

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// operationsPage lists replays or resends.
type operationsPage struct {
	Replays   []api.Replay
	Resends   []api.Resend
	Endpoints names
	State     string
	Endpoint  string
	Copies    []copied
	Pager     pager
}

func operationsQuery(v *visit) (call, link url.Values) {
	q := v.r.URL.Query()
	return queryOf("state", q.Get("state"), "endpoint_id", q.Get("endpoint"), "cursor", q.Get("cursor")),
		queryOf("state", q.Get("state"), "endpoint", q.Get("endpoint"))
}

func listReplays(v *visit) error {
	call, link := operationsQuery(v)
	var list api.Page[api.Replay]
	if err := v.get("/v1/replays", call, &list); err != nil {
		return err
	}
	known, err := readNames(v)
	if err != nil {
		return err
	}
	s := statement{columns: "*", from: "tailpost.replay", order: "created_at DESC, id DESC", limit: pageSize}
	s.equal("state", link.Get("state"))
	s.equal("endpoint_id", link.Get("endpoint"))
	s.tenantOf("endpoint_id", v.session.Tenant())
	v.show(http.StatusOK, "replays", "Replays", "replays", &operationsPage{
		Replays: list.Data, Endpoints: known, State: link.Get("state"), Endpoint: link.Get("endpoint"),
		Copies: copiesOf(v, s.String(), "/v1/replays", call), Pager: pagerOf(v, "replays", link, list.NextCursor),
	})
	return nil
}

func listResends(v *visit) error {
	call, link := operationsQuery(v)
	var list api.Page[api.Resend]
	if err := v.get("/v1/resends", call, &list); err != nil {
		return err
	}
	known, err := readNames(v)
	if err != nil {
		return err
	}
	s := statement{columns: "*", from: "tailpost.resend", order: "created_at DESC, id DESC", limit: pageSize}
	s.equal("state", link.Get("state"))
	s.equal("endpoint_id", link.Get("endpoint"))
	s.equal("tenant", v.session.Tenant())
	v.show(http.StatusOK, "resends", "Resends", "resends", &operationsPage{
		Resends: list.Data, Endpoints: known, State: link.Get("state"), Endpoint: link.Get("endpoint"),
		Copies: copiesOf(v, s.String(), "/v1/resends", call), Pager: pagerOf(v, "resends", link, list.NextCursor),
	})
	return nil
}

// replayPage is a replay and how far it is.
type replayPage struct {
	api.Replay

	Name        string
	MissingRows []api.MissingEvent
	Running     bool
	MoreMissing bool     // there are more than those
	Copied      []copied // of MissingRows
}

func running(state string) bool { return state == "pending" || state == "running" }

func showReplay(v *visit) error {
	body := &replayPage{}
	id := v.r.PathValue("id")
	if err := v.get(pathOf("replays", id), nil, &body.Replay); err != nil {
		return err
	}
	known, err := readNames(v)
	if err != nil {
		return err
	}
	var gone api.MissingPage
	if body.MissingListed > 0 {
		if err := v.get(pathOf("replays", id, "missing"), nil, &gone); err != nil {
			return err
		}
		s := statement{columns: "event_id, event_type, tenant, attempted_at, outcome", from: "tailpost.replay_missing", order: "attempted_at, event_id", limit: len(gone.Data)}
		s.equal("replay_id", id)
		body.Copied = ofPart("missing", copiesOf(v, s.String(), pathOf("replays", id, "missing"), nil))
	}
	body.Name, body.MissingRows, body.MoreMissing, body.Running = known.Of(body.EndpointID), gone.Data, gone.NextCursor != "", running(body.State)
	v.show(http.StatusOK, "replay", "Replay", "replays", body)
	return nil
}

func cancelReplay(v *visit) error {
	id := v.r.PathValue("id")
	if err := v.post(pathOf("replays", id, "cancel"), nil, nil); err != nil {
		return err
	}
	v.see("replays/"+url.PathEscape(id), "cancelled")
	return nil
}

// resendPage is a resend and how far it is.
type resendPage struct {
	api.Resend

	Names   names
	Running bool
}

func showResend(v *visit) error {
	body := &resendPage{}
	if err := v.get(pathOf("resends", v.r.PathValue("id")), nil, &body.Resend); err != nil {
		return err
	}
	known, err := readNames(v)
	if err != nil {
		return err
	}
	body.Names, body.Running = known, running(body.State)
	v.show(http.StatusOK, "resend", "Resend", "resends", body)
	return nil
}

func cancelResend(v *visit) error {
	id := v.r.PathValue("id")
	if err := v.post(pathOf("resends", id, "cancel"), nil, nil); err != nil {
		return err
	}
	v.see("resends/"+url.PathEscape(id), "cancelled")
	return nil
}

// words splits what a person wrote into a box: by spaces, commas or lines.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' || r == '\t' })
}
