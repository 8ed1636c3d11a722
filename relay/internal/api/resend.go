package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Resend is a request to attempt many deliveries now.
type Resend struct {
	ID        string            `json:"id"`
	Selection DeliverySelection `json:"selection" doc:"Which deliveries."`
	Tenant    string            `json:"tenant,omitempty" doc:"Tenant that the key is bound to which asked for it: only deliveries to its endpoints."`
	State     string            `json:"state" enum:"pending,running,done,cancelled,failed"`
	Total     *int64            `json:"total,omitempty" doc:"Deliveries that the selection chose when it was asked for; missing: there are too many to count them in some seconds."`
	Queued    int64             `json:"queued" doc:"Deliveries that were queued; in the end less than total where one was delivered, discarded or attempted meanwhile."`
	Error     string            `json:"error,omitempty" doc:"Why it failed."`
	CreatedBy string            `json:"created_by,omitempty" doc:"Id of the key that asked for it."`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
}

func showResend(r *query.Resend) Resend {
	return Resend{
		ID: r.ID, Selection: showSelection(&r.Selection), Tenant: r.Tenant, State: r.State, Total: r.Total, Queued: r.Queued,
		Error: r.Error, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// showSelection is the selection that a filter was made of.
func showSelection(f *ledger.DeliveryFilter) DeliverySelection {
	d := DeliverySelection{
		EventID: f.EventID, EndpointID: f.EndpointID, EventTypes: f.EventTypes, Tenant: f.EventTenant, Reason: f.Reason, State: f.State,
	}
	if !f.Since.IsZero() {
		d.Since = &f.Since
	}
	if !f.Until.IsZero() {
		d.Until = &f.Until
	}
	if !f.AsOf.IsZero() {
		d.AsOf = &f.AsOf
	}
	d.All = !d.chooses()
	return d
}

// resentOutput is the answer to a resend: Selected, where it was done or counted, or a Resend.
type resentOutput struct {
	Status int
	Body   any
}

func resendDeliveries(ctx context.Context, s *Server, p *principal, in *selectDeliveriesInput) (*resentOutput, error) {
	var out *selectedOutput
	var err error
	w := &in.Body
	switch {
	case w.DryRun && w.one():
		out, err = countResend(ctx, s, p, w)
	case w.DryRun || w.names():
		out, err = resendNamed(ctx, s, p, in)
	default:
		made, err := createResend(ctx, s, p, in)
		if err != nil {
			return nil, err
		}
		return &resentOutput{Status: http.StatusAccepted, Body: made.Body}, nil
	}
	if err != nil {
		return nil, err
	}
	return &resentOutput{Status: http.StatusOK, Body: out.Body}, nil
}

// resendNamed attempts one delivery.
func resendNamed(ctx context.Context, s *Server, p *principal, in *selectDeliveriesInput) (*selectedOutput, error) {
	return forSelected(ctx, s, p, in, "delivery.resend", resendPath, func(c *query.Change, ctx context.Context, f ledger.DeliveryFilter) (int64, error) {
		n, err := c.Resend(ctx, f)
		if err != nil || n > 0 || !in.Body.one() {
			return n, err
		}
		// Nothing waits: the event was delivered, or discarded, and is taken from its outbox row.
		return 1, c.ResendRecorded(ctx, p.tenant(), f.EventID, f.EndpointID)
	})
}

type resendOutput struct {
	Body Resend
}

// createResend has the relay attempt many deliveries.
func createResend(ctx context.Context, s *Server, p *principal, in *selectDeliveriesInput) (*resendOutput, error) {
	filter, err := in.Body.filter(p)
	if err != nil {
		return nil, err
	}
	r := query.Resend{Tenant: p.tenant(), Selection: filter}
	if r.Total, err = s.store.CountResend(ctx, filter); err != nil {
		return nil, err
	}
	op := (&route{method: http.MethodPost, path: resendPath}).operation()
	return inChange(ctx, s, &op, p, in, func(ctx context.Context, _ *Server, c *query.Change, p *principal, _ *selectDeliveriesInput) (*resendOutput, error) {
		r.ID = newID("rs_")
		if err := c.CreateResend(ctx, &r); err != nil {
			return nil, err
		}
		out := &resendOutput{Body: showResend(&r)}
		return out, c.Audit(ctx, "delivery.resend", r.ID, p.tenant(), nil, out.Body)
	})
}

func listResends(ctx context.Context, s *Server, p *principal, in *listOperationsInput) (*pageOutput[Resend], error) {
	return listOperations(ctx, p, in, s.store.Resends, showResend, (*query.Resend).Position)
}

// ResendID is the part of a request that names a resend.
type ResendID struct {
	ID string `path:"id" maxLength:"200" doc:"Id of the resend."`
}

func getResend(ctx context.Context, s *Server, p *principal, in *ResendID) (*resendOutput, error) {
	r, err := s.store.Resend(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &resendOutput{Body: showResend(&r)}, nil
}

type cancelResendInput struct {
	ResendID
	Repeatable
}

func cancelResend(ctx context.Context, _ *Server, c *query.Change, p *principal, in *cancelResendInput) (*resendOutput, error) {
	r, err := c.LockResend(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	shown, err := cancelling[query.Resend, Resend]{
		what: "resend", tenant: r.Tenant, row: &r, operation: &r.Operation, cancel: c.CancelResend, show: showResend,
	}.run(ctx, c)
	return &resendOutput{Body: shown}, err
}
