package api

import (
	"context"
	"net/http"

	"github.com/tailpost/tailpost/relay/internal/query"
)

type listOperationsInput struct {
	Paged

	EndpointID string `query:"endpoint_id" maxLength:"200" doc:"Only to this endpoint."`
	State      string `query:"state" enum:"pending,running,done,cancelled,failed" doc:"Only those of this state."`
}

// listOperations lists replays or resends.
func listOperations[R, T any](
	ctx context.Context, p *principal, in *listOperationsInput, read func(context.Context, query.OperationQuery) ([]R, error),
	show func(*R) T, position func(*R) query.Position,
) (*pageOutput[T], error) {
	after, err := readCursor[query.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := read(ctx, query.OperationQuery{
		Tenant: p.tenant(), EndpointID: in.EndpointID, State: in.State, After: after, Limit: in.limit() + 1,
	})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.limit(), show, position)
}

// cancelling cancels a replay or a resend.
type cancelling[R, T any] struct {
	what      string // it is
	tenant    string // of it, for the audit
	row       *R
	operation *query.Operation // of row
	cancel    func(context.Context, *R) error
	show      func(*R) T
}

// run returns what is shown of it then. One that is cancelled already is shown as it is.
func (x cancelling[R, T]) run(ctx context.Context, c *query.Change) (T, error) {
	before := x.show(x.row)
	switch x.operation.State {
	case query.StateCancelled:
		return before, nil
	case query.StateDone, query.StateFailed:
		return before, problem(http.StatusConflict, "The "+x.what+" is over: it is "+x.operation.State+".")
	}
	if err := x.cancel(ctx, x.row); err != nil {
		return before, err
	}
	after := x.show(x.row)
	return after, c.Audit(ctx, x.what+".cancel", x.operation.ID, x.tenant, before, after)
}
