package api

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Attempt is one HTTP request and what came of it.
type Attempt struct {
	EventID           string    `json:"event_id" doc:"The event; sent as webhook-id, where there is no request_id."`
	EventType         string    `json:"event_type"`
	Tenant            string    `json:"tenant,omitempty" doc:"Tenant of the event."`
	EndpointID        string    `json:"endpoint_id"`
	RequestID         string    `json:"request_id,omitempty" doc:"The request that it shares with the attempts of other events (batch); sent as webhook-id. Missing: it has one of its own."`
	Number            int       `json:"number" doc:"Number within its delivery, from 1."`
	Trigger           string    `json:"trigger" enum:"stream,retry,resend,replay,test" doc:"Why it was made."`
	URL               string    `json:"url" doc:"Where the request went, without user information; without path and query for keys that may not read endpoints."`
	Outcome           string    `json:"outcome" enum:"delivered,retry,dead" doc:"delivered, retry (it will be tried again) or dead (given up)."`
	StatusCode        int       `json:"status_code,omitempty" doc:"Missing: no answer arrived."`
	Error             string    `json:"error,omitempty" doc:"Why no usable answer arrived."`
	DurationMS        float64   `json:"duration_ms" doc:"How long it took, in milliseconds."`
	ResponseBody      string    `json:"response_body,omitempty" doc:"First 16 KiB of the answer; only for keys with payloads:read."`
	ResponseHidden    bool      `json:"response_hidden,omitempty" doc:"The key lacks payloads:read: whether the answer had a body is not shown."`
	ResponseTruncated bool      `json:"response_truncated" doc:"Whether the answer was longer."`
	AttemptedAt       time.Time `json:"attempted_at" doc:"When the request began."`
	CommitLSN         string    `json:"commit_lsn" doc:"Place of the event's transaction in the write-ahead log."`

	RequestHeaders  map[string]string `json:"request_headers,omitempty" doc:"Headers of the request as it was sent, by their names in lower case; secrets and signatures are [redacted]. Only where attempts { headers = true } is set, and for keys with payloads:read."`
	ResponseHeaders map[string]string `json:"response_headers,omitempty" doc:"Headers of the answer, as far as they fit 4 KiB. As request_headers."`

	Search map[string]string `json:"search,omitempty" doc:"What the event is found by, as outbox.search of the configuration named it; only for keys with payloads:read."`
}

func showAttempt(p *principal, a *outbox.Attempt) Attempt {
	shown := Attempt{
		EventID: a.EventID, EventType: a.EventType, Tenant: a.Tenant, EndpointID: a.EndpointID, RequestID: a.RequestID, Number: a.Number,
		Trigger: string(a.Trigger), URL: a.URL, Outcome: string(a.Outcome), StatusCode: a.StatusCode, Error: p.readable(a.Error),
		DurationMS: float64(a.Duration) / float64(time.Millisecond), ResponseBody: string(a.ResponseBody),
		ResponseTruncated: a.ResponseTruncated, AttemptedAt: a.AttemptedAt.UTC(), CommitLSN: a.CommitLSN.String(),
		RequestHeaders: a.RequestHeaders, ResponseHeaders: a.ResponseHeaders,
	}
	if len(a.Search) > 0 {
		shown.Search = make(map[string]string, len(a.Search))
	}
	for _, term := range a.Search {
		name, value := config.SplitSearchTerm(term)
		shown.Search[name] = value
	}
	if !p.may(config.ScopeEndpointsRead) {
		shown.URL = originOf(a.URL)
	}
	shown.conceal(p)
	return shown
}

// originOf is a URL without its path and query, which may hold a token.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return kept
	}
	if u.Path == "" && u.RawQuery == "" {
		return text
	}
	return u.Scheme + "://" + u.Host + "/" + kept
}

// AttemptFilter chooses attempts.
type AttemptFilter struct {
	SearchFilter

	EventID     string    `query:"event_id" maxLength:"1000" doc:"Only of this event."`
	EventType   string    `query:"event_type" maxLength:"1000" doc:"Only of events of this type."`
	RequestID   string    `query:"request_id" maxLength:"100" doc:"Only those of this request (batch)."`
	Tenant      string    `query:"tenant" maxLength:"200" doc:"Only of this tenant's events."`
	Outcome     string    `query:"outcome" enum:"delivered,retry,dead" doc:"Only with this outcome."`
	StatusClass string    `query:"status_class" enum:"1xx,2xx,3xx,4xx,5xx" doc:"Only with an answer of this class."`
	Since       time.Time `query:"since" doc:"Only those made at or after it."`
	Until       time.Time `query:"until" doc:"Only those made before it."`
}

func attemptQuery(s *Server, f *AttemptFilter, p *principal, paged *Paged) (query.AttemptQuery, error) {
	q := query.AttemptQuery{
		Tenant: p.tenant(), EventID: f.EventID, EventType: f.EventType, EventTenant: f.Tenant, Outcome: f.Outcome,
		RequestID: f.RequestID, Since: f.Since, Until: f.Until, Limit: paged.limit(),
	}
	if _, ok := ledger.RequestTime(f.RequestID); !ok && f.RequestID != "" {
		return q, invalid(of("request_id", "Write the request_id of an attempt: req_ and 26 characters."))
	}
	if f.StatusClass != "" {
		q.StatusClass, _ = strconv.Atoi(f.StatusClass[:1]) // one of the enum
	}
	var err error
	if q.Search, err = searchTerms(s, &f.SearchFilter); err != nil {
		return q, err
	}
	q.After, err = readCursor[query.AttemptPosition](paged.Cursor)
	return q, err
}

// AttemptPage is a part of a list of attempts.
type AttemptPage struct {
	Page[Attempt]

	After string `json:"after,omitempty" doc:"With follow: the after of /v1/attempts/stream, which goes on where this page ends."`
}

type attemptPageOutput struct {
	Body AttemptPage
}

type listAttemptsInput struct {
	Paged
	AttemptFilter

	Follow     bool   `query:"follow" doc:"Also say where a stream goes on that has what is recorded after this page was read."`
	EndpointID string `query:"endpoint_id" maxLength:"200" doc:"Only to this endpoint."`
}

func listAttempts(ctx context.Context, s *Server, p *principal, in *listAttemptsInput) (*attemptPageOutput, error) {
	q, err := attemptQuery(s, &in.AttemptFilter, p, &in.Paged)
	if err != nil {
		return nil, err
	}
	q.EndpointID = in.EndpointID
	if in.Follow {
		q.Follow = s.now()
	}
	return attemptsPage(ctx, s, p, q)
}

type listEndpointAttemptsInput struct {
	EndpointID
	Paged
	AttemptFilter
}

func listEndpointAttempts(ctx context.Context, s *Server, p *principal, in *listEndpointAttemptsInput) (*attemptPageOutput, error) {
	q, err := attemptQuery(s, &in.AttemptFilter, p, &in.Paged)
	if err != nil {
		return nil, err
	}
	if _, err := s.store.Endpoint(ctx, p.tenant(), in.ID); err != nil {
		return nil, err
	}
	q.EndpointID = in.ID
	return attemptsPage(ctx, s, p, q)
}

func attemptsPage(ctx context.Context, s *Server, p *principal, q query.AttemptQuery) (*attemptPageOutput, error) {
	page, err := s.store.Attempts(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &attemptPageOutput{Body: AttemptPage{Page: Page[Attempt]{Data: showAttempts(p, page.Attempts)}}}
	if page.Next != nil {
		if out.Body.NextCursor, err = cursor(page.Next); err != nil {
			return nil, err
		}
	}
	if page.Tail != nil {
		if out.Body.After, err = cursor(page.Tail); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func showAttempts(p *principal, rows []outbox.Attempt) []Attempt {
	shown := make([]Attempt, 0, len(rows))
	for i := range rows {
		shown = append(shown, showAttempt(p, &rows[i]))
	}
	return shown
}
