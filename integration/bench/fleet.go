package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// partitions is over how many a fleet's endpoints are spread.
const partitions = 16

// fanout is the block by which processes share the sending.
func (n *nats) fanout() string {
	return fmt.Sprintf("fanout \"nats\" {\n  url        = %q\n  partitions = %d\n}\n", n.url, partitions)
}

// fleet is processes that send what one of them reads, or one process that sends what it reads.
type fleet struct {
	d       *database
	members []*process
	slot    *pgconn.PgConn // keeps the slot from them; nil: one of them has it
}

// startFleet starts so many senders, or, for 0, one process of a configuration without a fan-out.
// When it returns, each has its share of the partitions and none has the slot: what is committed
// waits until release. Of adds to the environment of each; nil: nothing.
func startFleet(ctx context.Context, d *database, senders int, of func(member int) string) (*fleet, error) {
	f := &fleet{d: d}
	if err := f.keepSlot(ctx); err != nil {
		return nil, err
	}
	for i := range max(1, senders) {
		var env []string
		if of != nil {
			env = append(env, of(i))
		}
		p, err := d.startUntil(ctx, "another relay holds the slot, standing by", env...)
		if err != nil {
			return nil, errors.Join(err, f.stop(ctx))
		}
		f.members = append(f.members, p)
	}
	if senders > 0 {
		if err := f.awaitShares(ctx); err != nil {
			return nil, errors.Join(err, f.stop(ctx))
		}
	}
	return f, nil
}

// keepSlot takes the slot as a relay does, and reads nothing of it.
func (f *fleet) keepSlot(ctx context.Context) error {
	config, err := pgconn.ParseConfig(f.d.url)
	if err != nil {
		return fmt.Errorf("keep the slot: %w", err)
	}
	config.RuntimeParams["replication"] = "database"
	if f.slot, err = pgconn.ConnectConfig(ctx, config); err != nil {
		return fmt.Errorf("keep the slot: %w", err)
	}
	sql := fmt.Sprintf(`START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names '%s')`, f.d.name, f.d.name)
	for deadline := time.Now().Add(10 * time.Second); ; {
		f.slot.Frontend().SendQuery(&pgproto3.Query{String: sql})
		if err := f.slot.Frontend().Flush(); err != nil {
			return fmt.Errorf("keep the slot: %w", err)
		}
		taken, err := answered(ctx, f.slot)
		switch {
		case err != nil:
			return fmt.Errorf("keep the slot: %w", err)
		case taken:
			return nil
		case time.Now().After(deadline):
			return errors.New("keep the slot: the relay before has not left it")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// answered reports whether the server streams; else it is ready for another question.
func answered(ctx context.Context, conn *pgconn.PgConn) (bool, error) {
	for {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return false, err
		}
		switch message.(type) {
		case *pgproto3.CopyBothResponse:
			return true, nil
		case *pgproto3.ReadyForQuery:
			return false, nil
		}
	}
}

// awaitShares waits until each member has taken as many partitions as every other.
func (f *fleet) awaitShares(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		rows, err := f.d.conn.Query(ctx, "SELECT owner FROM tailpost.relay WHERE partition_of = $1 AND partitions = $2", f.d.name, partitions)
		if err != nil {
			return false, err
		}
		owners, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return false, err
		}
		shares := make(map[*process]int)
		for _, owner := range owners {
			shares[f.member(owner)]++
		}
		for _, p := range f.members {
			if shares[p] != partitions/len(f.members) {
				return false, nil
			}
		}
		return true, nil
	})
}

// member returns the one that calls itself owner; nil: none of those that run.
func (f *fleet) member(owner string) *process {
	i := slices.IndexFunc(f.members, func(p *process) bool { return strings.HasSuffix(owner, "/"+strconv.Itoa(p.pid())) })
	if i < 0 {
		return nil
	}
	return f.members[i]
}

// release lets one of them take the slot.
func (f *fleet) release(ctx context.Context) error {
	slot := f.slot
	f.slot = nil
	return slot.Close(ctx)
}

// reader waits until one of them has the slot, and returns it.
func (f *fleet) reader(ctx context.Context) (p *process, err error) {
	return p, until(ctx, func() (bool, error) {
		var owner string
		err := f.d.conn.QueryRow(ctx, `
SELECT r.owner
FROM tailpost.relay AS r
JOIN pg_replication_slots AS s ON s.slot_name = r.slot AND s.active
WHERE r.slot = $1`, f.d.name).Scan(&owner)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		p = f.member(owner)
		return p != nil, err
	})
}

// quiet waits until nothing more is being recorded, and returns in how many transactions all was
// that the members recorded.
func (f *fleet) quiet(ctx context.Context) (batches int, err error) {
	const pause = 100 * time.Millisecond
	before, since := -1, 0
	return batches, until(ctx, func() (bool, error) {
		time.Sleep(pause)
		if err := f.d.conn.QueryRow(ctx, "SELECT sum(batch) FROM tailpost.relay").Scan(&batches); err != nil {
			return false, err
		}
		if since++; batches != before {
			before, since = batches, 0
		}
		return since >= 3, nil
	})
}

// parked returns how many deliveries got a row of their own.
func (f *fleet) parked(ctx context.Context) (rows int, err error) {
	err = f.d.conn.QueryRow(ctx, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'tailpost.delivery'::regclass").Scan(&rows)
	return rows, err
}

// settle waits until so many deliveries are recorded and nothing is left to deliver: nothing was
// lost, at the receiver or here.
func (f *fleet) settle(ctx context.Context, deliveries int) error {
	var delivered, left int
	err := until(ctx, func() (bool, error) {
		err := f.d.conn.QueryRow(ctx, `
SELECT (SELECT count(DISTINCT (event_id, endpoint_id)) FROM tailpost.attempt WHERE outcome = 'delivered'),
       (SELECT count(*) FROM tailpost.delivery)`).Scan(&delivered, &left)
		return delivered == deliveries && left == 0, err
	})
	if err == nil && f.d.b.sink.tally("/endpoint").received != deliveries {
		err = errors.New("the receiver has not what is recorded")
	}
	if err != nil {
		return fmt.Errorf("%d of %d recorded as delivered, %d waiting: %w", delivered, deliveries, left, err)
	}
	return nil
}

// until polls what a case waits for.
func until(ctx context.Context, check func() (bool, error)) error {
	for deadline := time.Now().Add(time.Minute); ; {
		ok, err := check()
		switch {
		case err != nil || ok:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return errors.New("not in time")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lose kills a member, whatever has become of it.
func (f *fleet) lose(p *process) error {
	f.members = slices.DeleteFunc(f.members, func(m *process) bool { return m == p })
	return p.kill()
}

// meters measure the members.
func (f *fleet) meters() (all meters) {
	for _, p := range f.members {
		all = append(all, startMeter(p.pid()))
	}
	return all
}

// stop ends what is left of it.
func (f *fleet) stop(ctx context.Context) error {
	var errs []error
	for _, p := range f.members {
		errs = append(errs, p.stop())
	}
	if f.slot != nil {
		errs = append(errs, f.release(ctx))
	}
	return errors.Join(errs...)
}
