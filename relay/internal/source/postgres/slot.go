package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// slot is a row of pg_replication_slots.
type slot struct {
	activePID      string // of who holds it; empty: nobody
	begun          bool   // its creation has begun, no more: it has no plugin yet, and perhaps no holder
	lost           string // why it is of no more use; empty: it is
	confirmedFlush outbox.LSN
	restart        outbox.LSN
	failover       bool
}

// held reports whether another connection has the slot.
func (sl *slot) held() bool { return sl.activePID != "" || sl.begun }

// ensureSlot creates the slot where it is missing and checks it. unread says that the slot's WAL
// cannot be decoded because a publication was missing until now.
func (s *session) ensureSlot(ctx context.Context, unread bool) error {
	have, err := s.readSlot(ctx)
	if err != nil {
		return err
	}
	replace := have != nil && s.opts.Replace && !have.held()
	if have != nil && have.lost != "" && !s.opts.ReplaceLost && !replace {
		return s.lost(have)
	}
	if replace || have != nil && have.lost != "" {
		if _, err := s.query(ctx, "SELECT pg_drop_replication_slot("+quoteLiteral(s.opts.Slot)+")"); err != nil {
			return fmt.Errorf("drop lost slot %q: %w", s.opts.Slot, classify(err))
		}
		have = nil
	}
	switch {
	case have == nil && !s.opts.Create && !s.opts.ReplaceLost && !s.opts.Replace:
		return fmt.Errorf("%w: there is no slot %q in this cluster", ErrSlotMissing, s.opts.Slot)
	case have == nil:
		err = s.createSlot(ctx)
	case (unread && s.info.ServerVersion < 180000 || s.opts.SkipBacklog) && !have.held():
		// Before Postgres 18, WAL that was written while there was no publication ends the stream,
		// again and again.
		s.info.SkippedFrom = have.confirmedFlush
		err = s.skipBacklog(ctx)
	}
	if err != nil {
		return err
	}
	have, err = s.readSlot(ctx)
	if err != nil {
		return err
	}
	if have == nil {
		return fmt.Errorf("%w: slot %q was dropped as soon as it was there", ErrSlotMissing, s.opts.Slot)
	}
	s.noteSlot(have)
	return nil
}

func (s *session) noteSlot(have *slot) {
	s.info.ConfirmedFlush, s.info.Restart, s.info.Failover = have.confirmedFlush, have.restart, have.failover
}

// readSlot returns nil where there is no slot, and an error where there is one that can never be
// ours.
func (s *session) readSlot(ctx context.Context) (*slot, error) {
	rows, err := s.query(ctx, `
		SELECT slot_type, plugin, database, temporary, active_pid, restart_lsn, confirmed_flush_lsn, wal_status,
		       to_jsonb(s) ->> 'two_phase' AS two_phase,
		       to_jsonb(s) ->> 'failover' AS failover,
		       to_jsonb(s) ->> 'invalidation_reason' AS invalidation_reason
		FROM pg_replication_slots AS s
		WHERE slot_name = `+quoteLiteral(s.opts.Slot))
	if err != nil {
		return nil, fmt.Errorf("read slot %q: %w", s.opts.Slot, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	row := rows[0]
	if wrong := foreign(row, s.info.Database); wrong != "" {
		return nil, fmt.Errorf("%w: slot %q is %s: give Tailpost another slot name, or drop it: SELECT pg_drop_replication_slot(%s);",
			ErrSetup, s.opts.Slot, wrong, quoteLiteral(s.opts.Slot))
	}
	have := &slot{activePID: row["active_pid"], begun: row["plugin"] == "", failover: row["failover"] == "true"}
	if have.confirmedFlush, err = row.lsn("confirmed_flush_lsn"); err != nil {
		return nil, fmt.Errorf("read slot %q: %w", s.opts.Slot, err)
	}
	if have.restart, err = row.lsn("restart_lsn"); err != nil {
		return nil, fmt.Errorf("read slot %q: %w", s.opts.Slot, err)
	}
	have.lost = row["invalidation_reason"]
	if have.lost == "" && row["wal_status"] == "lost" {
		have.lost = "wal_removed"
	}
	return have, nil
}

// foreign says what keeps a row of pg_replication_slots from being a slot of ours in that
// database; empty: nothing does. A slot has its plugin only a moment after its name
// (CreateInitDecodingContext in Postgres' logical.c): who looks in between must not take it for
// another one's.
func foreign(row record, database string) string {
	switch {
	case row["slot_type"] != "logical":
		return "a physical slot"
	case row["plugin"] != plugin && row["plugin"] != "":
		return "made for output plugin " + strconv.Quote(row["plugin"])
	case row["database"] != database:
		return "made in database " + strconv.Quote(row["database"])
	case row["temporary"] == "t":
		return "temporary"
	case row["two_phase"] == "true":
		return "made with two_phase"
	}
	return ""
}

func (s *session) lost(have *slot) error {
	return fmt.Errorf("%w: Postgres invalidated slot %q (%s); the WAL after %s was not read",
		ErrSlotLost, s.opts.Slot, have.lost, have.confirmedFlush)
}

func (s *session) createSlot(ctx context.Context) error {
	option := "(SNAPSHOT 'nothing', FAILOVER true)"
	switch {
	case s.info.ServerVersion < 150000:
		option = "NOEXPORT_SNAPSHOT"
	case s.info.ServerVersion < 170000:
		option = "(SNAPSHOT 'nothing')"
	}
	// It waits for every transaction that runs now to end, however long that takes.
	stop := s.watchWait(ctx)
	err := s.patiently(ctx, func() error {
		_, err := s.query(ctx, "CREATE_REPLICATION_SLOT "+quoteIdentifier(s.opts.Slot)+" LOGICAL "+plugin+" "+option)
		return err
	})
	stop()
	switch pglink.State(err) {
	case "":
		s.info.SlotCreated = err == nil
	case pglink.DuplicateObject:
		// Another relay was quicker: the slot is there, which is all that was asked.
		return nil
	case pglink.ConfigurationLimit, pglink.NotInPrerequisiteState:
		err = fmt.Errorf("%w: no slot is free: drop one that nobody uses (pg_replication_slots), "+
			"or raise max_replication_slots and restart Postgres: %w", ErrSetup, err)
	case pglink.InsufficientPrivilege:
		err = cmp.Or(pluginError(ctx, s, err), mayNotReplicate(s.role, err))
	}
	if err != nil {
		return fmt.Errorf("create slot %q: %w", s.opts.Slot, err)
	}
	return nil
}

// skipBacklog moves the slot to the end of the WAL. This reads the WAL but decodes nothing, so it
// cannot fail as the stream does.
func (s *session) skipBacklog(ctx context.Context) error {
	err := s.patiently(ctx, func() error {
		_, err := s.query(ctx, "SELECT pg_replication_slot_advance("+quoteLiteral(s.opts.Slot)+", pg_current_wal_lsn())")
		return err
	})
	if err != nil {
		return fmt.Errorf("advance slot %q: %w", s.opts.Slot, err)
	}
	return nil
}

// acquire begins to stream, which takes the slot. After ErrSlotActive it can be called again.
func (s *session) acquire(ctx context.Context) error {
	// Asking first spares the server's log an error for every second that a relay stands by.
	have, err := s.readSlot(ctx)
	switch {
	case err != nil:
		return err
	case have == nil:
		return fmt.Errorf("%w: there is no slot %q in this cluster", ErrSlotMissing, s.opts.Slot)
	case have.lost != "":
		return s.lost(have)
	case have.held():
		s.stoodBy = true
		return s.heldByAnother(ctx, have)
	}
	s.noteSlot(have)
	if s.stoodBy {
		// Open may be long ago.
		created, err := s.ensurePublications(ctx)
		if err != nil {
			return err
		}
		if err := s.ensureSlot(ctx, created); err != nil {
			return err
		}
	}
	if err := s.startReplication(ctx); err != nil {
		return fmt.Errorf("start replication from slot %q: %w", s.opts.Slot, err)
	}
	return nil
}

// heldByAnother explains who has the slot. A connection that creates it outlives a relay that was
// killed.
func (s *session) heldByAnother(ctx context.Context, have *slot) error {
	if have.confirmedFlush != 0 {
		return fmt.Errorf("%w: slot %q is held by the connection with process ID %s", ErrSlotActive, s.opts.Slot, have.activePID)
	}
	if have.begun {
		return fmt.Errorf("%w: %w: slot %q is being created", ErrSlotActive, ErrSlotUnready, s.opts.Slot)
	}
	pid, err := strconv.Atoi(have.activePID)
	if err != nil {
		return fmt.Errorf("read slot %q: %w", s.opts.Slot, err)
	}
	by, err := s.blockers(ctx, pid)
	if err != nil {
		return err
	}
	if by != "" {
		by = ", which waits for " + by
	}
	return fmt.Errorf("%w: %w: slot %q is being created by the connection with process ID %d%s",
		ErrSlotActive, ErrSlotUnready, s.opts.Slot, pid, by)
}

func (s *session) startReplication(ctx context.Context) error {
	// Decoding takes locks on the catalogue, which a long one there may hold back: that must not
	// end the stream.
	if _, err := s.query(ctx, `SET statement_timeout = 0; SET lock_timeout = 0`); err != nil {
		return fmt.Errorf("lift time limits: %w", err)
	}
	var names []string
	for _, p := range s.publications() {
		names = append(names, quoteIdentifier(p.name))
	}
	args := []string{"proto_version '1'", "messages 'true'", "publication_names " + quoteLiteral(strings.Join(names, ","))}
	err := pglogrepl.StartReplication(ctx, s.conn, quoteIdentifier(s.opts.Slot), pglogrepl.LSN(s.opts.Start),
		pglogrepl.StartReplicationOptions{PluginArgs: args})
	if err == nil {
		return nil
	}
	if pglink.State(err) != "" {
		if err := s.drain(ctx); err != nil {
			return err
		}
	}
	switch pglink.State(err) {
	case pglink.UndefinedObject:
		return fmt.Errorf("%w: %w", ErrSlotMissing, err)
	case pglink.NotInPrerequisiteState:
		return fmt.Errorf("%w: %w", ErrSlotLost, err)
	case pglink.UndefinedFile:
		return fmt.Errorf("%w: %w", ErrWALMissing, err)
	case pglink.InsufficientPrivilege:
		return cmp.Or(pluginError(ctx, s, err), err)
	}
	return classify(err)
}

// drain reads what follows a refused START_REPLICATION, so that the connection can be used again.
func (s *session) drain(ctx context.Context) error {
	for {
		msg, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			return classify(err)
		}
		if _, ok := msg.(*pgproto3.ReadyForQuery); ok {
			return nil
		}
	}
}
