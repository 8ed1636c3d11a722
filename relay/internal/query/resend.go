package query

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// Resend is a row of tailpost.resend.
type Resend struct {
	Operation

	Tenant    string                // that the key of whoever asked is bound to; empty: none
	Selection ledger.DeliveryFilter // without Tenant
}

const resendColumns = operationColumns + `COALESCE(r.tenant, '') AS tenant, r.selection
FROM tailpost.resend AS r
WHERE (@tenant::text = '' OR r.tenant = @tenant)`

// Resends returns a page.
func (s operations) Resends(ctx context.Context, q OperationQuery) ([]Resend, error) {
	return operationPage[Resend](ctx, s.database, "list resends", resendColumns, q)
}

// Resend returns one resend.
func (s operations) Resend(ctx context.Context, tenant, id string) (Resend, error) {
	return operationByID[Resend](ctx, s.database, "read the resend", resendColumns, tenant, id)
}

// LockResend returns one resend and keeps others from changing it.
func (c operationChanges) LockResend(ctx context.Context, tenant, id string) (Resend, error) {
	return lockOperation[Resend](ctx, c.tx, resendColumns, tenant, id)
}

// CreateResend writes a new resend and tells the relay.
func (c operationChanges) CreateResend(ctx context.Context, r *Resend) error {
	selection, err := json.Marshal(r.Selection)
	if err != nil {
		return fmt.Errorf("encode the selection: %w", err)
	}
	r.EndpointID = r.Selection.EndpointID
	return c.begin(ctx, &r.Operation, `
INSERT INTO tailpost.resend (id, tenant, selection, state, total, created_by, created_at, updated_at)
VALUES (@id, NULLIF(@tenant, ''), @selection::text::jsonb, 'pending', @total, @created_by, @now, @now)`, pgx.NamedArgs{
		"tenant": r.Tenant, "selection": string(selection), "total": r.Total,
	})
}

// CancelResend stops a resend that is not over; what it queued stays queued.
func (c operationChanges) CancelResend(ctx context.Context, r *Resend) error {
	return c.cancel(ctx, &r.Operation, "UPDATE tailpost.resend"+cancelSQL)
}

// CountResend counts what a filter chooses; nil: that takes longer than a request has time for.
func (s operations) CountResend(ctx context.Context, f ledger.DeliveryFilter) (total *int64, err error) {
	err = s.counting(ctx, "count deliveries", func(ctx context.Context, tx pgx.Tx) error {
		n, err := countDeliveries(ctx, tx, f)
		if err == nil {
			total = &n
		}
		return err
	})
	return total, err
}
