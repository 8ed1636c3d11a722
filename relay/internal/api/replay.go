package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger/store"
)

// Replay is a request to deliver a range of events once more.
type Replay struct {
	ID         string     `json:"id"`
	EndpointID string     `json:"endpoint_id"`
	EventTypes []string   `json:"event_types" nullable:"false" doc:"Types or patterns of them; empty: all."`
	Since      *time.Time `json:"since,omitempty" doc:"Events created at or after it; missing: from the first one."`
	Until      time.Time  `json:"until" doc:"Events created before it."`
	State      string     `json:"state" enum:"pending,running,done,cancelled,failed"`
	Total      *int64     `json:"total,omitempty" doc:"Events of the range; missing: not counted yet."`
	Done       int64      `json:"done" doc:"Events of the range that were looked at."`
	Queued     int64      `json:"queued" doc:"Deliveries that were queued."`
	Missing    *int64     `json:"missing,omitempty" doc:"Events that were attempted within the range and whose payload is gone; missing: not known yet."`
	Error      string     `json:"error,omitempty" doc:"Why it failed."`
	CreatedBy  string     `json:"created_by,omitempty" doc:"Id of the key that asked for it."`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
}

func showReplay(r *store.Replay) Replay {
	return Replay{
		ID: r.ID, EndpointID: r.EndpointID, EventTypes: append([]string{}, r.Types...), Since: r.Since, Until: r.Until.UTC(),
		State: r.State, Total: r.Total, Done: r.Done, Queued: r.Queued, Missing: r.Missing, Error: r.Error,
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// NewReplay is what a replay is made of.
type NewReplay struct {
	EndpointID string     `json:"endpoint_id" minLength:"1" maxLength:"200"`
	EventTypes []string   `json:"event_types,omitempty" maxItems:"1000" doc:"Types or patterns of them, as in subscriptions. Default: all that the endpoint wants."`
	Since      *time.Time `json:"since,omitempty" doc:"Events created at or after it. Default: from the first one."`
	Until      *time.Time `json:"until,omitempty" doc:"Events created before it. Default: now."`
	DryRun     bool       `json:"dry_run,omitempty" doc:"Count only: total and missing are in the answer, and there is no replay."`
}

type createReplayInput struct {
	Repeatable

	Body NewReplay
}

type replayOutput struct {
	Status int
	Body   Replay
}

func (s *Server) createReplay(ctx context.Context, p *principal, in *createReplayInput) (*replayOutput, error) {
	endpoint, err := s.store.Endpoint(ctx, p.tenant(), in.Body.EndpointID)
	if err != nil {
		return nil, err
	}
	r := store.Replay{EndpointID: endpoint.ID, Types: in.Body.EventTypes, Since: in.Body.Since, Until: s.now().UTC()}
	if in.Body.Until != nil {
		r.Until = *in.Body.Until
	}
	if r.Since != nil && !r.Since.Before(r.Until) {
		return nil, invalid(at("/since", "It is not before until."))
	}
	patterns := make([]config.Pattern, 0, len(r.Types))
	for i, text := range r.Types {
		pattern, err := config.ParsePattern(text)
		if err != nil {
			return nil, invalid(at("/event_types/"+itoa(i), "%s", sentence(err.Error())))
		}
		patterns = append(patterns, pattern)
	}
	if s.config().Outbox.Mapping.Table == "" {
		return nil, problem(http.StatusConflict, "Events come as logical messages only: there is no outbox table to replay from.")
	}
	if in.Body.DryRun {
		if err := s.store.CountReplay(ctx, &r, endpoint.Tenant, func(name string) bool {
			return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p config.Pattern) bool { return p.Match(name) })
		}); err != nil {
			return nil, err
		}
		r.State, r.CreatedAt, r.UpdatedAt = store.ReplayPending, s.now().UTC(), s.now().UTC()
		return &replayOutput{Status: http.StatusOK, Body: showReplay(&r)}, nil
	}
	op := (&route{method: http.MethodPost, path: "/v1/replays"}).operation()
	return inChange(ctx, s, &op, p, in, func(ctx context.Context, c *store.Change, _ *principal, _ *createReplayInput) (*replayOutput, error) {
		r.ID = newID("rp_")
		if err := c.CreateReplay(ctx, &r); err != nil {
			return nil, err
		}
		out := &replayOutput{Status: http.StatusCreated, Body: showReplay(&r)}
		return out, c.Audit(ctx, "replay.create", r.ID, endpoint.Tenant, nil, out.Body)
	})
}

type listReplaysInput struct {
	Paged

	EndpointID string `query:"endpoint_id" maxLength:"200" doc:"Only to this endpoint."`
	State      string `query:"state" enum:"pending,running,done,cancelled,failed" doc:"Only those of this state."`
}

func (s *Server) listReplays(ctx context.Context, p *principal, in *listReplaysInput) (*pageOutput[Replay], error) {
	after, err := readCursor[store.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Replays(ctx, store.ReplayQuery{
		Tenant: p.tenant(), EndpointID: in.EndpointID, State: in.State, After: after, Limit: in.limit() + 1,
	})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.limit(), showReplay, func(r *store.Replay) store.Position { return store.Position{At: r.CreatedAt, ID: r.ID} })
}

// ReplayID is the part of a request that names a replay.
type ReplayID struct {
	ID string `path:"id" maxLength:"200" doc:"Id of the replay."`
}

func (s *Server) getReplay(ctx context.Context, p *principal, in *ReplayID) (*replayOutput, error) {
	r, err := s.store.Replay(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &replayOutput{Status: http.StatusOK, Body: showReplay(&r)}, nil
}

type cancelReplayInput struct {
	ReplayID
	Repeatable
}

func (s *Server) cancelReplay(ctx context.Context, c *store.Change, p *principal, in *cancelReplayInput) (*replayOutput, error) {
	r, err := c.Replay(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	before := showReplay(&r)
	switch r.State {
	case store.ReplayCancelled:
		return &replayOutput{Status: http.StatusOK, Body: before}, nil
	case store.ReplayDone, store.ReplayFailed:
		return nil, problem(http.StatusConflict, "The replay is over: it is "+r.State+".")
	}
	if err := c.CancelReplay(ctx, &r); err != nil {
		return nil, err
	}
	out := &replayOutput{Status: http.StatusOK, Body: showReplay(&r)}
	return out, c.Audit(ctx, "replay.cancel", r.ID, "", before, out.Body)
}
