package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// A search for what no index has in order reads one window of time after the other, backwards. The
// windows grow while they cost little, and the page ends, short, when its time is over: its cursor
// has where the search came to and how large its windows had grown, for the next page or for
// another part of this one.
const (
	firstWindow  = time.Second
	lastWindow   = 100 * 24 * time.Hour
	windowGrowth = 16
	windowShrink = 4
	termShrink   = 4096
	windowRows   = 500 // what matches in a window is fetched and sorted; more than a page has

	pageBudget = 12 * time.Millisecond
	leastLeft  = 2 * time.Millisecond   // to begin another window
	leastBound = 4 * time.Millisecond   // of a window
	leastCost  = 250 * time.Microsecond // less says nothing
	mostLate   = 5                      // how often a window's time doubles
	mostFixed  = 200 * time.Millisecond // so that a cursor that somebody made up has no search run for longer
)

// firstWindow is how much time is read first. A caller may make a cursor up. What a search term
// finds is mostly so little that all of it is one window; where it is not, that shows at once.
func (q *AttemptQuery) firstWindow() time.Duration {
	if q.After.Window == 0 && len(q.Search) > 0 {
		return lastWindow
	}
	return min(max(q.After.Window, firstWindow), lastWindow)
}

// start is the highest time that a page may have, exclusive.
func (q *AttemptQuery) start() time.Time {
	high := q.Until
	if p := q.After; !p.At.IsZero() {
		at := p.At
		if p.EventID != "" {
			at = at.Add(time.Microsecond) // others of the same microsecond may follow it
		}
		if high.IsZero() || at.Before(high) {
			high = at
		}
	}
	return high
}

// farPast and farFuture bound a page on the side where nothing else does. Postgres knows both.
func farPast() time.Time   { return time.Unix(0, 0).UTC() }
func farFuture() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// attemptWindow reads a page at once.
func attemptWindow(ctx context.Context, tx pgx.Tx, q AttemptQuery, sql string, args pgx.NamedArgs) (AttemptPage, error) {
	high, low := q.start(), q.Since
	if high.IsZero() {
		high = farFuture()
	}
	if low.IsZero() {
		low = farPast()
	}
	args["high"], args["low"] = high, low
	rows, err := many(ctx, tx, sql, args, scanAttempt)
	if err != nil {
		return AttemptPage{}, err
	}
	page := AttemptPage{Attempts: rows}
	page.cut(q.Limit)
	return page, nil
}

// cut leaves limit attempts in the page, of which one more was asked for.
func (p *AttemptPage) cut(limit int) {
	if len(p.Attempts) > limit {
		p.Attempts = p.Attempts[:limit]
		a := &p.Attempts[limit-1]
		p.Next = &AttemptPosition{At: a.AttemptedAt, EventID: a.EventID, EndpointID: a.EndpointID, Number: a.Number}
	}
}

// oldestSQL reads the first day from the names of the partitions.
const oldestSQL = `
SELECT min(to_date(right(c.relname::text, 8), 'YYYYMMDD')::timestamptz)
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'tailpost.attempt'::regclass`

// aheadSQL needs the index on times: the first plan of a table without statistics is to read it.
const (
	byTimesSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'on', true)`
	aheadSQL   = `SELECT EXISTS (SELECT FROM tailpost.attempt WHERE attempted_at >= $1)`
)

// newestTime returns the time that a search begins before: where the query says so, or after all
// that there is. The clock of the relay that wrote an attempt may be ahead of ours by whatever.
func newestTime(ctx context.Context, tx pgx.Tx, q *AttemptQuery) (time.Time, error) {
	now, high := time.Now(), q.start()
	for ahead := time.Second; ahead < lastWindow; ahead *= windowGrowth {
		at := now.Add(ahead)
		if !high.IsZero() && !high.After(at) {
			return high, nil
		}
		var more bool
		batch := &pgx.Batch{}
		batch.Queue(byTimesSQL)
		batch.Queue(aheadSQL, at).QueryRow(func(row pgx.Row) error { return row.Scan(&more) })
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return time.Time{}, fmt.Errorf("find the newest attempts: %w", err)
		}
		if !more {
			return at, nil
		}
	}
	if high.IsZero() {
		high = farFuture()
	}
	return high, nil
}

// attemptSearch is a search of one page.
type attemptSearch struct {
	tx    pgx.Tx
	sql   string
	args  pgx.NamedArgs
	limit int
	began time.Time

	shrink time.Duration // by how much a window that has too much becomes smaller

	ordered bool // an index has the order, so that a window costs no more than what the page leaves out

	high, low time.Time // what is left
	size      time.Duration
	page      AttemptPage

	fixed time.Duration // what the quickest window took: the part of what any takes that does not grow with it; zero: not known
	read  bool          // a window
	late  int           // how often a window took too long before one was read
	dense time.Time     // from it on there is more than a window may have
}

// beginSearch returns a search of all the time that the query leaves it; nil: there is none.
func beginSearch(ctx context.Context, tx pgx.Tx, q *AttemptQuery) (*attemptSearch, error) {
	var oldest *time.Time
	if err := tx.QueryRow(ctx, oldestSQL).Scan(&oldest); err != nil {
		return nil, fmt.Errorf("find the oldest partition: %w", err)
	}
	if oldest == nil {
		return nil, nil //nolint:nilnil // documented: there is nothing to search
	}
	newest, err := newestTime(ctx, tx, q)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, q.plannerSQL()); err != nil {
		return nil, err
	}
	s := &attemptSearch{
		tx: tx, limit: q.Limit, began: time.Now(), ordered: q.ordered(), high: newest, low: q.Since,
		shrink: windowShrink,
		// A caller may make a cursor up.
		size: q.firstWindow(), fixed: min(max(q.After.Fixed, 0), mostFixed),
	}
	if len(q.Search) > 0 {
		// It began with all time. Step by step, each of them would read all places of a term.
		s.shrink = termShrink
	}
	if s.low.IsZero() || s.low.Before(*oldest) {
		s.low = *oldest
	}
	if d := q.After.Dense; d.Before(s.high) && !d.Before(s.low) {
		s.dense = d
	}
	return s, nil
}

// searchAttempts reads a page window by window, backwards in time.
func searchAttempts(ctx context.Context, tx pgx.Tx, q AttemptQuery, sql string, args pgx.NamedArgs) (AttemptPage, error) {
	s, err := beginSearch(ctx, tx, &q)
	if err != nil || s == nil {
		return AttemptPage{}, err
	}
	s.sql, s.args = sql, args
	for s.high.After(s.low) {
		if err := s.next(ctx); err != nil {
			return AttemptPage{}, err
		}
		if s.page.Next != nil {
			// The next page will span about as much as this one.
			s.page.Next.Window = max(s.page.Attempts[0].AttemptedAt.Sub(s.page.Next.At), firstWindow)
			s.page.Next.Fixed = s.fixed
			break
		}
		if s.high.After(s.low) && (len(s.page.Attempts) == s.limit || s.over()) {
			if some, err := s.follows(ctx); err != nil || !some {
				return s.page, err
			}
			s.page.Next = &AttemptPosition{At: s.high, Window: s.size, Fixed: s.fixed, Dense: s.dense}
			break
		}
	}
	return s.page, nil
}

// follows reports whether anything may follow a page that ran out of its time: however late it is,
// nothing does where nothing was ever recorded.
func (s *attemptSearch) follows(ctx context.Context) (some bool, err error) {
	if len(s.page.Attempts) > 0 {
		return true, nil
	}
	err = s.tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM tailpost.attempt)").Scan(&some)
	return some, err
}

// over says that the time of the page is over: never before something was read, or every page could
// end where it began.
func (s *attemptSearch) over() bool {
	return s.read && s.left() < leastLeft
}

func (s *attemptSearch) left() time.Duration { return pageBudget - time.Since(s.began) }

// next reads the next window, or finds that it is too large.
func (s *attemptSearch) next(ctx context.Context) error {
	from := s.high.Add(-s.size)
	if from.Before(s.low) {
		from, s.size = s.low, s.high.Sub(s.low)
	}
	wanted := s.limit - len(s.page.Attempts)
	s.args["high"], s.args["low"], s.args["limit"] = s.high, from, wanted+1
	asked := time.Now()
	rows, matches, err := s.window(ctx)
	if errors.Is(err, errLate) {
		s.size = max(s.size/s.shrink, firstWindow)
		if !s.read {
			s.late++
		}
		return nil
	}
	if err != nil {
		return err
	}
	took := time.Since(asked)
	if matches > windowRows && s.size > firstWindow {
		s.dense, s.size = from, max(s.size/s.shrink, firstWindow)
		return nil
	}
	s.high = from
	s.grow(took, len(rows), wanted)
	s.page.Attempts = append(s.page.Attempts, rows...)
	s.page.cut(s.limit)
	return nil
}

// window reads the rows of a window, in the order of the page, and counts what matched. It gives up
// when that takes too long, for what lies back in time may be much denser than what was seen; but
// the smallest window is always read.
func (s *attemptSearch) window(ctx context.Context) (rows []outbox.Attempt, matches int, err error) {
	scan := scanAttempt
	if !s.ordered {
		scan = func(row pgx.CollectableRow) (outbox.Attempt, error) { return scanAttemptAnd(row, &matches) }
	}
	s.args["most"] = windowRows + 1
	if s.size <= firstWindow {
		s.args["most"] = nil
		rows, err = many(ctx, s.tx, s.sql, s.args, scan)
		return rows, matches, err
	}
	bound := s.fixed + max(s.left(), leastBound)
	bound <<= min(s.late, mostLate) // the window gets smaller and has more time, until the page has read one
	// One round trip.
	batch := &pgx.Batch{}
	batch.Queue("SAVEPOINT attempt_window")
	batch.Queue(boundSQL, bound.Milliseconds())
	batch.Queue(s.sql, s.args).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, scan)
		return err
	})
	batch.Queue(unboundSQL)
	batch.Queue("RELEASE SAVEPOINT attempt_window")
	err = s.tx.SendBatch(ctx, batch).Close()
	if pglink.TookTooLong(err) {
		if _, err = s.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT attempt_window"); err == nil {
			err = errLate
		}
	}
	return rows, matches, err
}

const (
	boundSQL   = `SELECT set_config('statement_timeout', $1::bigint::text, true)`
	unboundSQL = `SELECT set_config('statement_timeout', '` + statementTimeout + `', true)`
)

var errLate = errors.New("the window was not read in its time")

// grow follows a window that was read: the next one is larger, as far as what it is likely to take
// and to find allow.
func (s *attemptSearch) grow(took time.Duration, found, wanted int) {
	s.read = true
	if s.fixed == 0 || took < s.fixed {
		s.fixed = took
	}
	// Ranges of pages that are new have no summary yet, so that every window reads them: a larger
	// one costs only what this one cost more than the quickest.
	cost := max(took-s.fixed, leastCost)
	left := s.left()
	if left < leastLeft {
		left = pageBudget // it will be read by the next page
	}
	factor := min(windowGrowth, float64(left)/float64(2*cost))
	switch {
	case found > 0:
		factor = min(factor, 1.5*float64(wanted)/float64(found))
		s.dense = time.Time{} // how dense it is here is known now
	case !s.dense.IsZero() && s.high.After(s.dense):
		factor = 1
	}
	s.size = min(max(time.Duration(float64(s.size)*factor), firstWindow), lastWindow)
}
