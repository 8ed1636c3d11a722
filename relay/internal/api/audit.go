package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tailpost/tailpost/relay/internal/query"
)

// AuditEntry is a change that was made through the API or the panel.
type AuditEntry struct {
	ID      int64     `json:"id" doc:"Order of the changes."`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor" doc:"Id of the key, or local where no key was needed."`
	Address string    `json:"address" doc:"Where the call came from."`
	Tenant  string    `json:"tenant,omitempty" doc:"Tenant of what changed."`
	Action  string    `json:"action" example:"endpoint.create"`
	Object  string    `json:"object" doc:"What it was done to, such as an endpoint's id."`
	Before  any       `json:"before,omitempty" doc:"As it was, without secrets; missing: it is new."`
	After   any       `json:"after,omitempty" doc:"As it is, without secrets; missing: it is gone."`
}

type listAuditInput struct {
	Paged

	Object string `query:"object" maxLength:"1000" doc:"Only changes of this, such as an endpoint's id."`
	Action string `query:"action" maxLength:"100" doc:"Only this kind of change." example:"endpoint.create"`
	Actor  string `query:"actor" maxLength:"200" doc:"Only what this key did."`
}

func listAudit(ctx context.Context, s *Server, p *principal, in *listAuditInput) (*pageOutput[AuditEntry], error) {
	after, err := readCursor[int64](in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Changes(ctx, query.AuditQuery{
		Tenant: p.tenant(), Object: in.Object, Action: in.Action, Actor: in.Actor, After: after, Limit: in.limit() + 1,
	})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.limit(), showChange, func(r *query.AuditRow) int64 { return r.ID })
}

func showChange(r *query.AuditRow) AuditEntry {
	e := AuditEntry{ID: r.ID, At: r.At.UTC(), Actor: r.Actor, Address: r.Address, Tenant: r.Tenant, Action: r.Action, Object: r.Object}
	if r.Before != nil {
		e.Before = json.RawMessage(r.Before)
	}
	if r.After != nil {
		e.After = json.RawMessage(r.After)
	}
	return e
}
