package query

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
)

// Tail follows the attempts that are recorded, in the order in which they are. Their times would
// not do: an attempt is recorded when it is over, which may be minutes after one that began later.
// A day's attempts are one table that only grows, so what is new lies behind what was there.
// Transactions that record at once may become visible in another order, so the last pages are
// looked at again.
//
// A Tail is for one goroutine.
type Tail struct {
	db   *database
	q    AttemptQuery
	days map[string]*tailDay // by date
}

// TailPosition is a place in a Tail: by date, the page and the line of the last row.
type TailPosition map[string][2]uint32

// tailDay is how far the attempts of a day were read.
type tailDay struct {
	last  TID
	seen  map[TID]struct{} // rows of the last pages
	floor TID              // rows up to it were read before the Tail began
}

// TID is the place of a row in its table.
type TID struct {
	Block  uint32
	Offset uint16
}

const (
	// tailPages are looked at again each time.
	tailPages = 16
	// tailRows bounds one look at a day.
	tailRows = 500
	dayForm  = "20060102"
)

// tailDays are today and, for what is over after midnight, yesterday.
func tailDays(now time.Time) []time.Time {
	today := now.UTC().Truncate(24 * time.Hour)
	return []time.Time{today.Add(-24 * time.Hour), today}
}

// Tail begins to follow the attempts that a query chooses: those after a position, or those that
// are recorded from now on. A position of long ago begins with yesterday.
func (s attempts) Tail(ctx context.Context, q AttemptQuery, after TailPosition, now time.Time) (*Tail, error) {
	t := &Tail{db: s.database, q: q, days: make(map[string]*tailDay)}
	for _, day := range tailDays(now) {
		name := day.Format(dayForm)
		at, known := after[name]
		if known {
			last := TID{Block: at[0], Offset: uint16(min(at[1], 1<<16-1))}
			t.days[name] = &tailDay{last: last, floor: last, seen: map[TID]struct{}{}}
			continue
		}
		if after != nil {
			continue // it began after the position
		}
		end, err := s.endOf(ctx, day)
		if err != nil {
			return nil, err
		}
		t.days[name] = end
	}
	return t, nil
}

// Position returns where the Tail is.
func (t *Tail) Position() TailPosition {
	p := make(TailPosition, len(t.days))
	for name, d := range t.days {
		p[name] = [2]uint32{d.last.Block, uint32(d.last.Offset)}
	}
	return p
}

const tailEndSQL = `
SELECT COALESCE(max(a.ctid), '(0,0)')
FROM tailpost.attempt AS a
WHERE a.attempted_at >= @day
  AND a.attempted_at < @day::timestamptz + interval '1 day'
  AND a.ctid >= @from::text::tid`

// tailPlacesSQL reads the places of the rows behind one, in their order: a scan of a range of pages
// has it.
const tailPlacesSQL = `
SELECT a.ctid
FROM tailpost.attempt AS a
WHERE a.attempted_at >= @day
  AND a.attempted_at < @day::timestamptz + interval '1 day'
  AND a.ctid >= @from::text::tid`

const pagesSQL = `
SELECT COALESCE(pg_catalog.pg_relation_size(pg_catalog.to_regclass(@name)) / pg_catalog.current_setting('block_size')::bigint, 0)`

// endOf finds the end of a day's attempts.
func (s attempts) endOf(ctx context.Context, day time.Time) (*tailDay, error) {
	d := &tailDay{seen: make(map[TID]struct{})}
	err := s.read(ctx, "find the newest attempt", func(ctx context.Context, tx pgx.Tx) error {
		clear(d.seen)
		var pages int64
		if err := tx.QueryRow(ctx, pagesSQL, pgx.NamedArgs{"name": "tailpost.attempt_" + day.Format(dayForm)}).Scan(&pages); err != nil {
			return err
		}
		args := pgx.NamedArgs{"day": day, "from": TID{Block: uint32(max(pages-tailPages, 0))}.String()}
		var last pgtype.TID
		if err := tx.QueryRow(ctx, tailEndSQL, args).Scan(&last); err != nil {
			return err
		}
		d.last = TID{Block: last.BlockNumber, Offset: last.OffsetNumber}
		places, err := many(ctx, tx, tailPlacesSQL, args, scanTID)
		for _, at := range places {
			d.seen[at] = struct{}{}
		}
		return err
	})
	return d, err
}

// String writes the place as Postgres does.
func (t TID) String() string { return fmt.Sprintf("(%d,%d)", t.Block, t.Offset) }

func (t TID) after(o TID) bool { return t.Block > o.Block || t.Block == o.Block && t.Offset > o.Offset }

// tailSQL reads the rows at places.
const tailSQL = attemptColumns + `
WHERE a.attempted_at >= @day
  AND a.attempted_at < @day::timestamptz + interval '1 day'
  AND a.ctid = ANY (@places::text[]::tid[])`

func scanTID(row pgx.CollectableRow) (TID, error) {
	var id pgtype.TID
	err := row.Scan(&id)
	return TID{Block: id.BlockNumber, Offset: id.OffsetNumber}, err
}

// Next returns what was recorded since the call before, at most some hundred attempts. Whether one
// is among those that the query chooses is looked at here.
func (t *Tail) Next(ctx context.Context, now time.Time) ([]outbox.Attempt, error) {
	var found []outbox.Attempt
	days := tailDays(now)
	for name := range t.days {
		if name < days[0].Format(dayForm) {
			delete(t.days, name)
		}
	}
	// What was seen is noted once all of it is read: an error leaves the Tail where it was.
	places := make(map[*tailDay][]TID, len(days))
	err := t.db.read(ctx, "follow the attempts", func(ctx context.Context, tx pgx.Tx) error {
		found = nil
		clear(places)
		ids, err := t.endpoints(ctx, tx)
		if err != nil {
			return err
		}
		for _, day := range days {
			name := day.Format(dayForm)
			if t.days[name] == nil {
				t.days[name] = &tailDay{seen: make(map[TID]struct{})}
			}
			some, at, err := t.days[name].next(ctx, tx, day)
			if err != nil {
				return err
			}
			places[t.days[name]] = at
			found = append(found, slices.DeleteFunc(some, func(a outbox.Attempt) bool { return !t.chooses(&a, ids) })...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for d, at := range places {
		d.passed(at)
	}
	// Postgres puts a row where there is room, which need not be behind the last one.
	slices.SortStableFunc(found, func(a, b outbox.Attempt) int { return a.AttemptedAt.Compare(b.AttemptedAt) })
	return found, nil
}

// endpoints are those of the tenant that the query is bound to.
func (t *Tail) endpoints(ctx context.Context, tx pgx.Tx) (map[string]bool, error) {
	ids := make(map[string]bool)
	if t.q.Tenant == "" {
		return ids, nil
	}
	own, err := many(ctx, tx, "SELECT id FROM tailpost.endpoint WHERE tenant = @tenant", pgx.NamedArgs{"tenant": t.q.Tenant}, pgx.RowTo[string])
	for _, id := range own {
		ids[id] = true
	}
	return ids, err
}

// chooses reports whether the query asks for an attempt; ids are the endpoints that a tenant has.
func (t *Tail) chooses(a *outbox.Attempt, ids map[string]bool) bool {
	q := &t.q
	return (q.Tenant == "" || ids[a.EndpointID]) && (q.EndpointID == "" || a.EndpointID == q.EndpointID) &&
		(q.EventID == "" || a.EventID == q.EventID) && (q.EventType == "" || a.EventType == q.EventType) &&
		(q.EventTenant == "" || a.Tenant == q.EventTenant) && (q.Outcome == "" || string(a.Outcome) == q.Outcome) &&
		(q.StatusClass == 0 || a.StatusCode/100 == q.StatusClass) && hasTerms(a, q.Search)
}

// hasTerms reports whether an attempt is found by all terms.
func hasTerms(a *outbox.Attempt, terms []Term) bool {
	for _, term := range terms {
		if !slices.ContainsFunc(term, func(form string) bool { return slices.Contains(a.Search, form) }) {
			return false
		}
	}
	return true
}

// next reads what was added to a day, and where everything is that it looked at.
func (d *tailDay) next(ctx context.Context, tx pgx.Tx, day time.Time) (found []outbox.Attempt, places []TID, err error) {
	from := TID{}
	if d.last.Block > tailPages {
		from.Block = d.last.Block - tailPages
	}
	args := pgx.NamedArgs{"day": day, "from": from.String(), "limit": tailRows + len(d.seen)}
	places, err = many(ctx, tx, tailPlacesSQL+"\nLIMIT @limit", args, scanTID)
	if err != nil {
		return nil, nil, err
	}
	var added []string
	for _, at := range places {
		if _, seen := d.seen[at]; !seen && at.after(d.floor) {
			added = append(added, at.String())
		}
	}
	if len(added) > 0 {
		args["places"] = added
		if found, err = many(ctx, tx, tailSQL, args, scanAttempt); err != nil {
			return nil, nil, err
		}
	}
	return found, places, nil
}

// passed notes that what is at these places was read.
func (d *tailDay) passed(places []TID) {
	d.floor = TID{}
	for _, at := range places {
		d.seen[at] = struct{}{}
		if at.after(d.last) {
			d.last = at
		}
	}
	for at := range d.seen {
		if at.Block+tailPages < d.last.Block {
			delete(d.seen, at)
		}
	}
}
