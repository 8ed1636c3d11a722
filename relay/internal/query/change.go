package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// Actor is who makes a change.
type Actor struct {
	ID      string // of the key
	Address string
	Tenant  string // what the key is bound to; empty: nothing
}

// Remembered is a request that may be repeated. The zero Remembered is one that may not.
type Remembered struct {
	Key     []byte // identifies the Idempotency-Key together with the call and who makes it
	Request []byte // identifies what was asked for
}

// rememberFor is how long an answer is kept.
const rememberFor = 24 * time.Hour

// Change is a transaction that changes something: every noun of the API has a part with its
// changes.
type Change struct {
	*transaction

	accessChanges
	attemptChanges
	deliveryChanges
	endpointChanges
	eventTypeChanges
	operationChanges
}

// The parts of a Change.
type (
	accessChanges    struct{ *transaction }
	attemptChanges   struct{ *transaction }
	deliveryChanges  struct{ *transaction }
	endpointChanges  struct{ *transaction }
	eventTypeChanges struct{ *transaction }
	operationChanges struct{ *transaction }
)

func newChange(t *transaction) *Change {
	return &Change{
		t, accessChanges{t}, attemptChanges{t}, deliveryChanges{t}, endpointChanges{t}, eventTypeChanges{t}, operationChanges{t},
	}
}

// transaction is the common part of a Change.
type transaction struct {
	tx      pgx.Tx
	actor   Actor
	now     time.Time
	mapping outbox.Mapping
	queues  []string // endpoints whose queues it changed
}

// Now is the time of the change.
func (c *transaction) Now() time.Time { return c.now }

// errRemembered ends a transaction because an earlier one answered its request.
var errRemembered = errors.New("answered before")

// Change runs f in one transaction. Where the request may be repeated, what f returns is kept in
// the same transaction, and returned again without running f for the same request; another request
// under the same key is ErrReused.
func (s *database) Change(ctx context.Context, actor Actor, r Remembered, now time.Time, f func(context.Context, *Change) (answer []byte, err error)) (again []byte, err error) {
	var c *Change
	err = s.transact(ctx, "change", pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		if err := claim(ctx, tx, r, now, &again); err != nil {
			return err
		}
		c = newChange(&transaction{tx: tx, actor: actor, now: now, mapping: s.mapping})
		answer, err := f(ctx, c)
		if err != nil || r.Key == nil {
			return err
		}
		_, err = tx.Exec(ctx, keepSQL, pgx.NamedArgs{"key": r.Key, "answer": answer})
		return err
	})
	if errors.Is(err, errRemembered) {
		return again, nil
	}
	if err == nil && len(c.queues) > 0 {
		s.repeatDue(ctx, c.queues)
	}
	return nil, err
}

// dueTimeout bounds saying once more what is due.
const dueTimeout = 5 * time.Second

// repeatDue says what is due once more, now that others see it. A commit is in the stream before it
// is visible, for as long as it waits for a synchronous standby, so the relay may have looked at
// the queue and found nothing. The message within the transaction is for the case that this process
// dies before it gets here.
func (s *database) repeatDue(ctx context.Context, endpoints []string) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), dueTimeout, errors.New("announcing what is due took too long"))
	defer cancel()
	// Harmless: the change is made, and the first message has most probably done.
	_ = s.transact(ctx, "announce what is due", pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		return emitDue(ctx, tx, endpoints)
	})
}

const recallSQL = `
SELECT request = @request, answer
FROM tailpost.idempotency
WHERE key = @key`

// Recall returns the answer that a request got before; nil: it was not made, or may not be
// repeated.
func (s *database) Recall(ctx context.Context, r Remembered) (again []byte, err error) {
	if r.Key == nil {
		return nil, nil
	}
	err = s.read(ctx, "look for the answer given before", func(ctx context.Context, tx pgx.Tx) error {
		return recall(ctx, tx, r, &again)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return again, err
}

func recall(ctx context.Context, tx pgx.Tx, r Remembered, again *[]byte) error {
	var same bool
	if err := tx.QueryRow(ctx, recallSQL, pgx.NamedArgs{"key": r.Key, "request": r.Request}).Scan(&same, again); err != nil {
		return fmt.Errorf("read the answer given before: %w", err)
	}
	if !same {
		return ErrReused
	}
	return nil
}

const claimSQL = `
INSERT INTO tailpost.idempotency (key, request, answer, created_at)
VALUES (@key, @request, '', @now)
ON CONFLICT (key) DO NOTHING`

const keepSQL = `
UPDATE tailpost.idempotency
SET answer = @answer
WHERE key = @key`

const forgetSQL = `
DELETE FROM tailpost.idempotency
WHERE key IN (
    SELECT key
    FROM tailpost.idempotency
    WHERE created_at < @before
    ORDER BY created_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)`

// claim takes the key, waiting for another request that has it and is not committed yet.
func claim(ctx context.Context, tx pgx.Tx, r Remembered, now time.Time, again *[]byte) error {
	if r.Key == nil {
		return nil
	}
	if _, err := tx.Exec(ctx, forgetSQL, pgx.NamedArgs{"before": now.Add(-rememberFor)}); err != nil {
		return fmt.Errorf("forget old answers: %w", err)
	}
	tag, err := tx.Exec(ctx, claimSQL, pgx.NamedArgs{"key": r.Key, "request": r.Request, "now": now})
	switch {
	case pglink.Is(err, pglink.LockNotAvailable):
		return fmt.Errorf("%w: a request with this Idempotency-Key is still running", ErrConflict)
	case err != nil:
		return fmt.Errorf("claim the Idempotency-Key: %w", err)
	case tag.RowsAffected() == 1:
		return nil
	}
	if err := recall(ctx, tx, r, again); err != nil {
		return err
	}
	return errRemembered
}

// Audit notes what was done to what. Before and after are shown as JSON and hold no secret; nil:
// there was, or is, none.
func (c *transaction) Audit(ctx context.Context, action, object, tenant string, before, after any) error {
	shown := func(v any) (*string, error) {
		if v == nil {
			return nil, nil //nolint:nilnil // NULL
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode the audit row: %w", err)
		}
		s := string(text)
		return &s, nil
	}
	was, err := shown(before)
	if err != nil {
		return err
	}
	is, err := shown(after)
	if err != nil {
		return err
	}
	_, err = c.tx.Exec(ctx, `
INSERT INTO tailpost.audit (at, actor, address, tenant, action, object, before, after)
VALUES (@at, @actor, @address, NULLIF(@tenant, ''), @action, @object, @before::text::jsonb, @after::text::jsonb)`, pgx.NamedArgs{
		"at": c.now, "actor": c.actor.ID, "address": c.actor.Address, "tenant": tenant, "action": action,
		"object": object, "before": was, "after": is,
	})
	if err != nil {
		return fmt.Errorf("note the change: %w", err)
	}
	return nil
}

// due tells the relay that holds the slot to look at the queues of endpoints.
func (c *transaction) due(ctx context.Context, endpoints []string) error {
	c.queues = append(c.queues, endpoints...)
	return emitDue(ctx, c.tx, endpoints)
}

func emitDue(ctx context.Context, tx pgx.Tx, endpoints []string) error {
	for _, id := range endpoints {
		content, err := json.Marshal(map[string]any{"due": map[string]string{"endpoint": id}})
		if err != nil {
			return fmt.Errorf("encode what is due: %w", err)
		}
		if _, err := tx.Exec(ctx, `SELECT pg_logical_emit_message(true, 'tailpost', @content)`, pgx.NamedArgs{"content": string(content)}); err != nil {
			return fmt.Errorf("announce what is due: %w", err)
		}
	}
	return nil
}
