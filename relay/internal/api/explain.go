package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Explanation says why endpoints got an event, or why they did not.
type Explanation struct {
	EventID       string                `json:"event_id"`
	EventType     string                `json:"event_type"`
	Tenant        string                `json:"tenant,omitempty"`
	Key           string                `json:"key,omitempty"`
	CreatedAt     *time.Time            `json:"created_at,omitempty"`
	PayloadExists bool                  `json:"payload_exists" doc:"Without the payload nothing can be said of filters on event.data."`
	Endpoints     []EndpointExplanation `json:"endpoints" nullable:"false" doc:"The newest endpoints first."`
	NextCursor    string                `json:"next_cursor,omitempty" doc:"Where the next page of endpoints begins; missing on the last one."`
}

// EndpointExplanation says what became of an event at one endpoint, and why.
type EndpointExplanation struct {
	EndpointID    string     `json:"endpoint_id"`
	EndpointName  string     `json:"endpoint_name"`
	Verdict       string     `json:"verdict" enum:"delivered,pending,dead,discarded,not_wanted,too_old,expected,unknown" doc:"delivered; pending, dead, discarded: a delivery that is not made; not_wanted: the subscriptions leave it out; too_old: the endpoint wants such events only since later; expected: it is wanted and not on record yet; unknown: the payload that a filter needs is gone."`
	Sentence      string     `json:"sentence" doc:"Why, for people."`
	Checks        []Check    `json:"checks" nullable:"false" doc:"What was looked at, by the endpoint's settings of now."`
	Attempts      int        `json:"attempts" doc:"Requests made so far."`
	LastAttemptAt *time.Time `json:"last_attempt_at,omitempty"`
	LastStatus    int        `json:"last_status,omitempty"`
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
	WaitsFor      *WaitsFor  `json:"waits_for,omitempty" doc:"The delivery that it is queued behind."`
}

// Check is one thing that an endpoint asks of an event.
type Check struct {
	Name   string `json:"name" enum:"tenant,type,where,since,status"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail" doc:"What was compared."`
}

// WaitsFor is the delivery that another one is queued behind.
type WaitsFor struct {
	EventID       string     `json:"event_id"`
	Key           string     `json:"key,omitempty"`
	State         string     `json:"state" enum:"pending,dead"`
	Attempts      int        `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
}

type explainInput struct {
	Paged

	ID         string `path:"id" maxLength:"1000" doc:"Id of the event."`
	EndpointID string `query:"endpoint" maxLength:"200" doc:"Only for this endpoint."`
}

type explainOutput struct {
	Body Explanation
}

func explainEvent(ctx context.Context, s *Server, p *principal, in *explainInput) (*explainOutput, error) {
	after, err := readCursor[query.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := s.store.Explain(ctx, query.ExplainQuery{
		Tenant: p.tenant(), EventID: in.ID, EndpointID: in.EndpointID, After: after, Limit: in.limit() + 1,
	})
	if err != nil {
		return nil, err
	}
	page, err := paged(found.Endpoints, in.limit(), func(e *query.ExplainedEndpoint) EndpointExplanation {
		cfg := decodeRow(s, &e.Row)
		if e.Delivery != nil {
			e.Delivery.LastError = p.readable(e.Delivery.LastError)
		}
		x := explainer{found: &found, at: e, cfg: &cfg, values: p.readsPayloads()}
		return x.explain()
	}, func(e *query.ExplainedEndpoint) query.Position { return endpointPosition(&e.Row) })
	if err != nil {
		return nil, err
	}
	ev := &found.Event
	return &explainOutput{Body: Explanation{
		EventID: in.ID, EventType: ev.Type, Tenant: ev.Tenant, Key: ev.Key, CreatedAt: writable(ev.CreatedAt), PayloadExists: found.HasRow,
		Endpoints: page.Body.Data, NextCursor: page.Body.NextCursor,
	}}, nil
}

// explainer explains an event at one endpoint.
type explainer struct {
	found  *query.Explained
	at     *query.ExplainedEndpoint
	cfg    *config.Endpoint
	values bool // what filters looked at may be shown
	checks []Check
}

func (x *explainer) explain() EndpointExplanation {
	row := &x.at.Row
	out := EndpointExplanation{EndpointID: row.ID, EndpointName: row.Name}
	wanted, reason := x.wanted()
	x.note("status", row.Status == ledger.StatusActive, statusDetail(row))
	out.Checks = x.checks
	if last := x.at.Last; last != nil {
		out.Attempts, out.LastAttemptAt, out.LastStatus = last.Number, writable(last.At), last.StatusCode
	}
	switch d := x.at.Delivery; {
	case d != nil:
		x.unfinished(&out, d)
	case x.at.Last != nil && x.at.Last.Outcome == outbox.Delivered:
		out.Verdict = "delivered"
		out.Sentence = fmt.Sprintf("Delivered at %s by attempt %d, with status %d.", clock(x.at.Last.At), x.at.Last.Number, x.at.Last.StatusCode)
	case x.at.DiscardedAt != nil:
		out.Verdict, out.Sentence = "discarded", "A person discarded it at "+clock(*x.at.DiscardedAt)+", before its first attempt."
	case x.at.Last != nil:
		out.Verdict, out.Sentence = "discarded", fmt.Sprintf("It was attempted, the last time at %s, and given up; a person, or retention, discarded what was left.", clock(x.at.Last.At))
	default:
		out.Verdict, out.Sentence = x.untraced(wanted, reason)
	}
	return out
}

// unfinished explains a delivery that is not made.
func (x *explainer) unfinished(out *EndpointExplanation, d *query.Delivery) {
	out.Verdict, out.Attempts, out.LastStatus = "pending", d.Attempts, d.LastStatus
	out.NextAttemptAt = writable(d.NextAttemptAt)
	last := lastOutcome(d)
	switch head := x.at.Head; {
	case d.State == outbox.StateDead:
		out.Verdict = "dead"
		out.Sentence = fmt.Sprintf("Given up after %s%s. %s", attemptsText(d.Attempts), last, explain(d))
	case head != nil:
		out.WaitsFor = &WaitsFor{
			EventID: head.Event.ID, Key: head.Event.Key, State: string(head.State), Attempts: head.Attempts, NextAttemptAt: writable(head.NextAttemptAt),
		}
		out.Sentence = "Queued behind event " + head.Event.ID + keyText(head.Event.Key) + ", " + waiting(head) + "."
	case out.NextAttemptAt != nil && d.Reason == outbox.ReasonFailed:
		out.Sentence = fmt.Sprintf("Waits for attempt %d at %s%s.", d.Attempts+1, clock(d.NextAttemptAt), last)
	case out.NextAttemptAt != nil && d.Reason != outbox.ReasonPaused && d.Reason != outbox.ReasonDisabled && d.Reason != outbox.ReasonUnusable:
		out.Sentence = explain(d) + " Due at " + clock(d.NextAttemptAt) + "."
	default:
		out.Sentence = explain(d)
	}
}

// untraced explains that nothing is on record.
func (x *explainer) untraced(wanted *bool, reason string) (verdict, sentence string) {
	created, since := x.found.Event.CreatedAt, x.at.RoutedSince
	switch {
	case wanted != nil && !*wanted:
		return "not_wanted", reason
	case !created.IsZero() && created.Before(since):
		what := "The endpoint was made"
		if since.After(x.at.Row.CreatedAt) {
			what = "The endpoint wants such events only since its subscriptions changed"
		}
		return "too_old", fmt.Sprintf("%s at %s, after the event at %s.", what, clock(since), clock(created))
	case wanted == nil:
		return "unknown", reason
	case x.at.Row.Status == ledger.StatusDisabled && x.at.Row.DisabledReason == ledger.ReasonRemoved:
		return "not_wanted", "The configuration no longer has this endpoint."
	case x.found.SettledAt == nil || created.IsZero() || !created.Before(*x.found.SettledAt):
		return "expected", "The endpoint wants it, and the relay has not come to it yet."
	}
	return "expected", "The endpoint wants it, and nothing is on record: the next audit looks for it. An event from before the relay first took its slot is not delivered unless outbox.start says so."
}

func (x *explainer) note(name string, ok bool, detail string) {
	x.checks = append(x.checks, Check{Name: name, OK: ok, Detail: detail})
}

// wanted reports whether the endpoint's settings of now take the event, and why not; nil: that
// cannot be known.
func (x *explainer) wanted() (wanted *bool, reason string) {
	yes, no := true, false
	ev := &x.found.Event
	if t := x.at.Row.Tenant; t != "" {
		ok := ev.Tenant == t
		detail := "the event's tenant is " + orNone(ev.Tenant) + ", the endpoint's " + t
		x.note("tenant", ok, detail)
		if !ok {
			return &no, sentence(detail)
		}
	}
	if !ev.CreatedAt.IsZero() {
		x.note("since", !ev.CreatedAt.Before(x.at.RoutedSince), "event at "+clock(ev.CreatedAt)+", wanted since "+clock(x.at.RoutedSince))
	}
	unknown := false
	for i := range x.cfg.Subscriptions {
		sub := &x.cfg.Subscriptions[i]
		if ok, detail := typed(sub.Events, ev); !ok {
			x.note("type", false, detail)
			reason = joinReasons(reason, detail)
			continue
		}
		x.note("type", true, ev.Type+" is among "+eventsText(sub.Events))
		if sub.Where == nil {
			return &yes, ""
		}
		if !x.found.HasRow {
			unknown = true
			x.note("where", false, "the payload is gone, so that "+sub.Where.Source()+" cannot be tried")
			continue
		}
		seen, err := x.cfg.Steps().Event(ev)
		if err != nil { // it goes out all the same, and the attempt says what is wrong with it
			x.note("where", true, "the data of version "+x.cfg.Version+" cannot be made, so that the filter is not tried")
			return &yes, ""
		}
		ok, detail := tryFilter(sub.Where, seen, x.values)
		x.note("where", ok, detail)
		if ok {
			return &yes, ""
		}
		reason = joinReasons(reason, "the filter leaves it out: "+detail)
	}
	if unknown {
		return nil, "Its payload is gone, so that the endpoint's filter cannot be tried."
	}
	return &no, sentence(reason)
}

// typed reports whether patterns take the type of an event, and why not.
func typed(patterns []string, ev *outbox.Event) (ok bool, detail string) {
	operational := ev.Operational()
	if len(patterns) == 0 {
		return !operational, ev.Type + " is sent to subscriptions that name it, and this one names no type"
	}
	short := "" // a pattern that would take the type if its last segment were open
	for _, text := range patterns {
		p, err := config.ParsePattern(text)
		if err == nil && p.Match(ev.Type) && (!operational || len(p.Segments) > 0 && p.Segments[0] == "webhook") {
			return true, ""
		}
		if open, err := config.ParsePattern(text + "*"); err == nil && open.Rest && open.Match(ev.Type) && !operational {
			short = fmt.Sprintf(": %q stands for one segment there, %q for all that follow", "*", "**")
		}
	}
	return false, "the type " + ev.Type + " is not among " + eventsText(patterns) + short
}

func eventsText(patterns []string) string {
	const most = 5
	switch {
	case len(patterns) == 0:
		return "all types"
	case len(patterns) > most:
		return strings.Join(patterns[:most], ", ") + fmt.Sprintf(" and %d more", len(patterns)-most)
	}
	return strings.Join(patterns, ", ")
}

func joinReasons(reason, detail string) string {
	if reason == "" || slices.Contains(strings.Split(reason, "; "), detail) {
		return detail
	}
	return reason + "; " + detail
}

func statusDetail(row *ledger.EndpointRow) string {
	if row.DisabledReason != "" {
		return row.Status + ": " + row.DisabledReason
	}
	return row.Status
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// clock writes a time for people.
func clock(t time.Time) string {
	if w := writable(t); w != nil {
		return w.Format("2006-01-02 15:04:05 MST")
	}
	return "an unknown time"
}

func attemptsText(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return itoa(n) + " attempts"
}

func lastOutcome(d *query.Delivery) string {
	switch {
	case d.LastStatus != 0:
		return ": the last answer was status " + itoa(d.LastStatus)
	case d.LastError != "":
		return ": " + strings.TrimSuffix(d.LastError, ".")
	}
	return ""
}

func keyText(key string) string {
	if key == "" {
		return ""
	}
	return " of key " + key
}

// waiting says what the first of an order does.
func waiting(head *query.Delivery) string {
	switch {
	case head.State == outbox.StateDead:
		return "which was given up and holds its order until a person resends or discards it"
	case head.NextAttemptAt.IsZero():
		return "which waits: " + strings.TrimSuffix(explain(head), ".")
	}
	return fmt.Sprintf("which waits for attempt %d at %s", head.Attempts+1, clock(head.NextAttemptAt))
}
