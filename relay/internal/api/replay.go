package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Replay is a request to deliver a range of events once more.
type Replay struct {
	ID            string     `json:"id"`
	EndpointID    string     `json:"endpoint_id"`
	EventTypes    []string   `json:"event_types" nullable:"false" doc:"Types or patterns of them; empty: all."`
	Since         *time.Time `json:"since,omitempty" doc:"Events created at or after it; missing: from the first one."`
	Until         time.Time  `json:"until" doc:"Events created before it."`
	State         string     `json:"state" enum:"pending,running,done,cancelled,failed"`
	Total         *int64     `json:"total,omitempty" doc:"Events of the range and types; missing: not counted, see note."`
	Done          int64      `json:"done" doc:"Events of the range and types that were looked at."`
	Queued        int64      `json:"queued" doc:"Deliveries that were queued."`
	Missing       *int64     `json:"missing,omitempty" doc:"Events of the types that were attempted within the range and whose outbox row was gone when it began, or before it came to them, so that they are not replayed; missing: not known, see note."`
	MissingListed int64      `json:"missing_listed" doc:"How many of them /v1/replays/{id}/missing lists: the first 10000 at most."`
	Note          string     `json:"note,omitempty" doc:"Why total or missing is not known, or not all."`
	Error         string     `json:"error,omitempty" doc:"Why it failed."`
	CreatedBy     string     `json:"created_by,omitempty" doc:"Id of the key that asked for it."`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

func showReplay(r *query.Replay) Replay {
	return Replay{
		ID: r.ID, EndpointID: r.EndpointID, EventTypes: append([]string{}, r.Types...), Since: r.Since, Until: r.Until.UTC(),
		State: r.State, Total: r.Total, Done: r.Done, Queued: r.Queued, Missing: r.Missing,
		MissingListed: min(r.MissingFound, ledger.MissingListed), Note: noteOf(r), Error: r.Error,
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// noteOf says what the numbers of a replay do not.
func noteOf(r *query.Replay) string {
	note := noteOfNumbers(r)
	if r.Unreadable > 0 {
		note += fmt.Sprintf(" Rows of the range that are no events, and not replayed: %d.", r.Unreadable)
	}
	return strings.TrimSpace(note)
}

func noteOfNumbers(r *query.Replay) string {
	switch {
	case r.State == query.StatePending:
		return "It has not begun, so nothing is counted yet."
	case r.MissingError != "":
		return "What is missing is not known: " + r.MissingError + "."
	case r.Missing == nil && r.State == query.StateRunning:
		return "What is missing is being searched for."
	case r.Missing == nil:
		return "It ended before all that is missing was found."
	case r.Total == nil:
		return "The events of the range could not be counted within the time that a statement may take."
	case r.State == query.StateDone && r.Done < *r.Total && r.MissingFound > ledger.MissingListed:
		return fmt.Sprintf("Of the events that were counted when it began, %d were gone before it came to them, and are not among the missing: too many of those were known.", *r.Total-r.Done)
	}
	return ""
}

// NewReplay is the request for a replay.
type NewReplay struct {
	EndpointID string     `json:"endpoint_id" minLength:"1" maxLength:"200"`
	EventTypes []string   `json:"event_types,omitempty" maxItems:"1000" doc:"Types or patterns of them, as in subscriptions. Default: all that the endpoint wants."`
	Since      *time.Time `json:"since,omitempty" doc:"Events created at or after it. Default: from the first one."`
	Until      *time.Time `json:"until,omitempty" doc:"Events created before it. Default: now."`
	DryRun     bool       `json:"dry_run,omitempty" doc:"Count only: total and missing are in the answer, as far as they can be counted in some seconds, and there is no replay."`
}

type createReplayInput struct {
	Repeatable

	Body NewReplay
}

type replayOutput struct {
	Status int
	Body   Replay
}

func createReplay(ctx context.Context, s *Server, p *principal, in *createReplayInput) (*replayOutput, error) {
	endpoint, err := s.store.Endpoint(ctx, p.tenant(), in.Body.EndpointID)
	if err != nil {
		return nil, err
	}
	r := query.Replay{Types: in.Body.EventTypes, Since: in.Body.Since, Until: s.now().UTC()}
	r.EndpointID = endpoint.ID
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
		return countReplay(ctx, s, &r, endpoint.Tenant, patterns)
	}
	op := (&route{method: http.MethodPost, path: "/v1/replays"}).operation()
	return inChange(ctx, s, &op, p, in, func(ctx context.Context, _ *Server, c *query.Change, _ *principal, _ *createReplayInput) (*replayOutput, error) {
		r.ID = newID("rp_")
		if err := c.CreateReplay(ctx, &r); err != nil {
			return nil, err
		}
		out := &replayOutput{Status: http.StatusCreated, Body: showReplay(&r)}
		return out, c.Audit(ctx, "replay.create", r.ID, endpoint.Tenant, nil, out.Body)
	})
}

func countReplay(ctx context.Context, s *Server, r *query.Replay, tenant string, patterns []config.Pattern) (*replayOutput, error) {
	rg := scan.Range{
		EndpointID: r.EndpointID, Tenant: tenant, Until: r.Until,
		Wants: func(name string) bool {
			return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p config.Pattern) bool { return p.Match(name) })
		},
	}
	if r.Since != nil {
		rg.Since = *r.Since
	}
	var err error
	if r.Total, r.Missing, err = s.store.CountReplay(ctx, rg); err != nil {
		return nil, err
	}
	r.State, r.CreatedAt, r.UpdatedAt = query.StatePending, s.now().UTC(), s.now().UTC()
	out := &replayOutput{Status: http.StatusOK, Body: showReplay(r)}
	out.Body.Note = ""
	if r.Total == nil || r.Missing == nil {
		out.Body.Note = "There is too much to count it in the time that a request has. A replay counts in the background."
	}
	return out, nil
}

func listReplays(ctx context.Context, s *Server, p *principal, in *listOperationsInput) (*pageOutput[Replay], error) {
	return listOperations(ctx, p, in, s.store.Replays, showReplay, (*query.Replay).Position)
}

// ReplayID is the part of a request that names a replay.
type ReplayID struct {
	ID string `path:"id" maxLength:"200" doc:"Id of the replay."`
}

func getReplay(ctx context.Context, s *Server, p *principal, in *ReplayID) (*replayOutput, error) {
	r, err := s.store.Replay(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &replayOutput{Status: http.StatusOK, Body: showReplay(&r)}, nil
}

// MissingEvent is an event that a replay cannot deliver once more.
type MissingEvent struct {
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	Tenant      string    `json:"tenant,omitempty" doc:"Tenant of the event."`
	AttemptedAt time.Time `json:"attempted_at" doc:"When it was first attempted at the endpoint within the range."`
	Outcome     string    `json:"outcome" enum:"delivered,retry,dead" doc:"Outcome of the last attempt at the endpoint when it was found missing. After retry or dead a delivery may still have the payload: see /v1/deliveries."`
}

// MissingPage is a part of the list of a replay's missing events.
type MissingPage struct {
	Page[MissingEvent]

	Complete bool `json:"complete" doc:"The search is over, and the list has all that it found. Otherwise the replay says why."`
}

type missingOutput struct {
	Body MissingPage
}

type listMissingInput struct {
	ReplayID
	Paged
}

func listMissing(ctx context.Context, s *Server, p *principal, in *listMissingInput) (*missingOutput, error) {
	after, err := readCursor[query.MissingPosition](in.Cursor)
	if err != nil {
		return nil, err
	}
	r, rows, err := s.store.Missing(ctx, query.MissingQuery{Tenant: p.tenant(), ReplayID: in.ID, After: after, Limit: in.limit() + 1})
	if err != nil {
		return nil, err
	}
	page, err := paged(rows, in.limit(), func(e *query.MissingEvent) MissingEvent {
		return MissingEvent{
			EventID: e.EventID, EventType: e.EventType, Tenant: e.Tenant, AttemptedAt: e.AttemptedAt.UTC(), Outcome: string(e.Outcome),
		}
	}, func(e *query.MissingEvent) query.MissingPosition {
		return query.MissingPosition{At: e.AttemptedAt, EventID: e.EventID}
	})
	if err != nil {
		return nil, err
	}
	return &missingOutput{Body: MissingPage{Page: page.Body, Complete: r.Missing != nil && *r.Missing <= ledger.MissingListed}}, nil
}

type cancelReplayInput struct {
	ReplayID
	Repeatable
}

func cancelReplay(ctx context.Context, _ *Server, c *query.Change, p *principal, in *cancelReplayInput) (*replayOutput, error) {
	r, err := c.LockReplay(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	shown, err := cancelling[query.Replay, Replay]{
		what: "replay", tenant: r.Tenant, row: &r, operation: &r.Operation, cancel: c.CancelReplay, show: showReplay,
	}.run(ctx, c)
	return &replayOutput{Status: http.StatusOK, Body: shown}, err
}
