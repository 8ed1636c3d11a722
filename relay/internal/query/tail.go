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
	if after == nil {
		err := s.read(ctx, "find the newest attempt", func(ctx context.Context, tx pgx.Tx) (err error) {
			t.days, err = tailEnd(ctx, tx, now)
			return err
		})
		return t, err
	}
	for _, day := range tailDays(now) {
		name := day.Format(dayForm)
		if at, known := after[name]; known { // others began after the position
			last := TID{Block: at[0], Offset: uint16(min(at[1], 1<<16-1))}
			t.days[name] = &tailDay{last: last, floor: last, seen: map[TID]struct{}{}}
		}
	}
	return t, nil
}

// Position returns where the Tail is.
func (t *Tail) Position() TailPosition { return positionOf(t.days) }

func positionOf(days map[string]*tailDay) TailPosition {
	p := make(TailPosition, len(days))
	for name, d := range days {
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

// tailEnd finds the end of the attempts that there are, by date.
func tailEnd(ctx context.Context, tx pgx.Tx, now time.Time) (map[string]*tailDay, error) {
	days := make(map[string]*tailDay)
	for _, day := range tailDays(now) {
		end, err := endOf(ctx, tx, day)
		if err != nil {
			return nil, err
		}
		days[day.Format(dayForm)] = end
	}
	return days, nil
}

// endOf finds the end of a day's attempts.
func endOf(ctx context.Context, tx pgx.Tx, day time.Time) (*tailDay, error) {
	d := &tailDay{seen: make(map[TID]struct{})}
	var pages int64
	if err := tx.QueryRow(ctx, pagesSQL, pgx.NamedArgs{"name": "tailpost.attempt_" + day.Format(dayForm)}).Scan(&pages); err != nil {
		return nil, err
	}
	// Postgres extends a table by more pages than it fills, and a transaction that was rolled back
	// leaves pages of rows that nobody sees.
	for back := int64(tailPages); ; back *= 8 {
		from := max(pages-back, 0)
		var last pgtype.TID
		args := pgx.NamedArgs{"day": day, "from": TID{Block: uint32(from)}.String()}
		if err := tx.QueryRow(ctx, tailEndSQL, args).Scan(&last); err != nil {
			return nil, err
		}
		if d.last = (TID{Block: last.BlockNumber, Offset: last.OffsetNumber}); d.last != (TID{}) || from == 0 {
			break
		}
	}
	places, err := many(ctx, tx, tailPlacesSQL, pgx.NamedArgs{"day": day, "from": d.from().String()}, scanTID)
	for _, at := range places {
		d.seen[at] = struct{}{}
	}
	return d, err
}

// from is where the pages begin that are looked at again.
func (d *tailDay) from() TID {
	if d.last.Block <= tailPages {
		return TID{}
	}
	return TID{Block: d.last.Block - tailPages}
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
	looks := make(map[*tailDay]tailLook, len(days))
	err := t.db.read(ctx, "follow the attempts", func(ctx context.Context, tx pgx.Tx) error {
		found = nil
		clear(looks)
		ids, err := t.endpoints(ctx, tx)
		if err != nil {
			return err
		}
		for _, day := range days {
			name := day.Format(dayForm)
			if t.days[name] == nil {
				t.days[name] = &tailDay{seen: make(map[TID]struct{})}
			}
			look, err := t.days[name].next(ctx, tx, day)
			if err != nil {
				return err
			}
			looks[t.days[name]] = look
			found = append(found, slices.DeleteFunc(look.found, func(a outbox.Attempt) bool { return !t.chooses(&a, ids) })...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for d, look := range looks {
		d.passed(&look)
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
		(q.EventID == "" || a.EventID == q.EventID) && (q.RequestID == "" || a.RequestID == q.RequestID) && (q.EventType == "" || a.EventType == q.EventType) &&
		(q.EventTenant == "" || a.Tenant == q.EventTenant) && (q.Outcome == "" || string(a.Outcome) == q.Outcome) &&
		(q.StatusClass == 0 || a.StatusCode/100 == q.StatusClass) && hasTerms(a, q.Search) &&
		!a.AttemptedAt.Before(q.Since) && (q.Until.IsZero() || a.AttemptedAt.Before(q.Until))
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

// tailLook is what a look at a day found.
type tailLook struct {
	found  []outbox.Attempt // that were added
	places []TID            // of everything that it looked at
	whole  bool             // it came to the end
}

// next reads what was added to a day.
func (d *tailDay) next(ctx context.Context, tx pgx.Tx, day time.Time) (look tailLook, err error) {
	limit := tailRows + len(d.seen)
	args := pgx.NamedArgs{"day": day, "from": d.from().String(), "limit": limit}
	look.places, err = many(ctx, tx, tailPlacesSQL+"\nLIMIT @limit", args, scanTID)
	if err != nil {
		return look, err
	}
	look.whole = len(look.places) < limit
	var added []string
	for _, at := range look.places {
		if _, seen := d.seen[at]; !seen && at.after(d.floor) {
			added = append(added, at.String())
		}
	}
	if len(added) > 0 {
		args["places"] = added
		look.found, err = many(ctx, tx, tailSQL, args, scanAttempt)
	}
	return look, err
}

// passed notes that what a look found was read. The floor stays until all below it was seen, of
// which one look may see a part.
func (d *tailDay) passed(look *tailLook) {
	if floor := d.floor; look.whole || slices.ContainsFunc(look.places, func(at TID) bool { return at.after(floor) }) {
		d.floor = TID{}
	}
	for _, at := range look.places {
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
