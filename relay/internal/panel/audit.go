package panel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// auditPage lists the changes that people made.
type auditPage struct {
	Rows     []auditRow
	Object   string
	Action   string
	Actor    string
	Copies   []copied
	Pager    pager
	Filtered bool
}

// auditRow is a change with its documents as they are.
type auditRow struct {
	api.AuditEntry

	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// Link is the page of what was changed; empty: it has none.
func (r *auditRow) Link() string {
	kind, _, _ := strings.Cut(r.Action, ".")
	escaped := url.PathEscape(r.Object)
	switch {
	case kind == "endpoint" && r.Action != "endpoint.delete":
		return Root + "endpoints/" + escaped
	case kind == "replay":
		return Root + "replays/" + escaped
	case kind == "event_type" && r.Action != "event_type.delete":
		return Root + "catalogue/types/" + escaped
	case strings.HasPrefix(r.Object, "rs_"):
		return Root + "resends/" + escaped
	}
	return ""
}

func showAudit(v *visit) error {
	link := filtersOf(v, "object", "action", "actor")
	var list api.Page[auditRow]
	if err := v.get("/v1/audit", filtersOf(v, "object", "action", "actor", "cursor"), &list); err != nil {
		return err
	}
	body := &auditPage{
		Rows: list.Data, Object: link.Get("object"), Action: link.Get("action"), Actor: link.Get("actor"), Filtered: len(link) > 0,
		Pager: pagerOf(v, "audit", link, list.NextCursor),
	}
	s := statement{columns: "id, at, actor, address, tenant, action, object, before, after", from: "tailpost.audit", order: "id DESC", limit: pageSize}
	s.equal("object", body.Object)
	s.equal("action", body.Action)
	s.equal("actor", body.Actor)
	s.equal("tenant", v.session.Tenant())
	body.Copies = copiesOf(v, s.String(), "/v1/audit", link)
	v.show(http.StatusOK, "audit", "Audit", "audit", body)
	return nil
}
