package api

import (
	"context"
	"net/http"

	"github.com/tailpost/tailpost/relay/internal/ledger/store"
)

type listAskedInput struct {
	Paged

	EndpointID string `query:"endpoint_id" maxLength:"200" doc:"Only to this endpoint."`
	State      string `query:"state" enum:"pending,running,done,cancelled,failed" doc:"Only those of this state."`
}

// listAsked lists replays or resends.
func listAsked[R, T any](
	ctx context.Context, p *principal, in *listAskedInput, read func(context.Context, store.AskedQuery) ([]R, error),
	show func(*R) T, position func(*R) store.Position,
) (*pageOutput[T], error) {
	after, err := readCursor[store.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := read(ctx, store.AskedQuery{
		Tenant: p.tenant(), EndpointID: in.EndpointID, State: in.State, After: after, Limit: in.limit() + 1,
	})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.limit(), show, position)
}

// cancelAsked cancels a replay or a resend and shows it. One that is cancelled already is shown as it is.
func cancelAsked[R, T any](
	ctx context.Context, c *store.Change, what string, r *R, a *store.Asked, cancel func(context.Context, *R) error, show func(*R) T,
) (T, error) {
	before := show(r)
	switch a.State {
	case store.StateCancelled:
		return before, nil
	case store.StateDone, store.StateFailed:
		return before, problem(http.StatusConflict, "The "+what+" is over: it is "+a.State+".")
	}
	if err := cancel(ctx, r); err != nil {
		return before, err
	}
	after := show(r)
	return after, c.Audit(ctx, what+".cancel", a.ID, "", before, after)
}
