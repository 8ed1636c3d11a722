package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// errElsewhere is what a relay would say while it tries again.
var errElsewhere = errors.New("database.url and database.replication_url lead to different servers: a relay takes no slot")

// examineReplication opens a replication connection as the stream does.
func examineReplication(ctx context.Context, p *patient) (Finding, error) {
	o := postgres.Options{URL: p.cfg.Database.URL.Reveal(), Slot: p.cfg.Database.Slot, Table: p.cfg.Outbox.Mapping.Table, ApplicationName: name}
	where := "database.url"
	if direct := p.cfg.Database.ReplicationURL.Reveal(); direct != "" {
		o.URL, where = direct, "database.replication_url"
	}
	o.Admit = func(ctx context.Context, found postgres.Info) error {
		_, serves, err := pglink.Serves(ctx, p.conn, found.PID, found.Database)
		if err == nil && !serves {
			err = errElsewhere
		}
		return err
	}
	found, err := postgres.Inspect(ctx, o)
	if errors.Is(err, errElsewhere) {
		return fail("let database.url and "+where+" lead to the same server, the primary; a standby is another one", "%s", err)
	}
	if err != nil {
		return fail("see above; "+where+" must be the server's own address, of a role with REPLICATION", "the stream cannot be opened: %s", pglink.Describe(err))
	}
	if found.Info.Database != p.server.Database {
		return fail("name the same database in both", "database.url leads to database %q, %s to %q", p.server.Database, where, found.Info.Database)
	}
	p.stream = found
	return ok("the role may replicate, and %s leads to the server itself", where)
}

// examineOutputPlugin asks the server of the stream, where the setting may be the role's own.
func examineOutputPlugin(_ context.Context, p *patient) (Finding, error) {
	switch {
	case p.stream == nil:
		return none()
	case p.stream.PluginError != nil:
		return fail("", "%s", p.stream.PluginError)
	case p.stream.PluginHidden:
		return ok("this role may not read output_plugin_libraries: if somebody set it, see that it names pgoutput (SHOW output_plugin_libraries, as a superuser)")
	}
	return ok("the server decodes with pgoutput")
}

func examineSlot(_ context.Context, p *patient) (Finding, error) {
	slot := p.cfg.Database.Slot
	switch {
	case p.stream == nil:
		return none()
	case p.stream.SlotError != nil:
		return fail("", "%s", p.stream.SlotError)
	case p.stream.Slot == nil:
		return ok("there is no slot %s yet: the first start makes it", slot)
	case p.stream.Slot.Lost != "":
		return warn("see why in the server's log (max_slot_wal_keep_size, idle_replication_slot_timeout); a relay makes the slot anew and delivers what was missed from the table",
			"slot %s is lost (%s)", slot, p.stream.Slot.Lost)
	case p.stream.Slot.ActivePID != "":
		return ok("slot %s is in use by process %s", slot, p.stream.Slot.ActivePID)
	}
	return warn("start a relay, or drop it: SELECT pg_drop_replication_slot('"+slot+"');", "slot %s keeps the server's log, and no relay uses it", slot)
}

func examinePublications(ctx context.Context, p *patient) ([]Finding, error) {
	if p.stream == nil || p.unusable || !p.migrated(ctx) {
		return nil, nil
	}
	var mayCreate bool
	if err := p.conn.QueryRow(ctx, "SELECT has_database_privilege(current_database(), 'CREATE')").Scan(&mayCreate); err != nil {
		return nil, err
	}
	var all []Finding
	for _, state := range p.stream.Publications {
		owner, err := p.mayPublish(ctx)
		if err != nil {
			return nil, err
		}
		grade, then := Failure, ", and this role may not set it up"
		if mayCreate && owner {
			grade, then = Warning, ": a relay that starts sets it right"
		}
		finding := Finding{Grade: OK, Detail: "publication " + state.Name + " is as it must be"}
		switch {
		case state.Err != nil:
			finding = Finding{Grade: Failure, Detail: fmt.Sprintf("publication %s: %s", state.Name, pglink.Describe(state.Err))}
		case state.SQL == "":
		case state.Advice != "":
			finding = Finding{Grade: Warning, Detail: fmt.Sprintf("publication %s: %s", state.Name, state.Advice), Fix: state.SQL}
		case !state.Exists && grade == Warning:
			finding.Detail = "there is no publication " + state.Name + " yet: the first start makes it"
		default:
			finding = Finding{Grade: grade, Detail: fmt.Sprintf("publication %s: %s%s", state.Name, strings.Join(state.Differences, ", "), then), Fix: state.SQL}
		}
		all = append(all, finding)
	}
	return all, nil
}

// mayPublish reports whether the role owns the tables that are published.
func (p *patient) mayPublish(ctx context.Context) (owns bool, err error) {
	tables := []string{"tailpost.endpoint", p.cfg.Outbox.Mapping.Table} // which is empty where there is none
	err = p.conn.QueryRow(ctx, `
		SELECT COALESCE(bool_and(pg_has_role(c.relowner, 'USAGE')), false)
		FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname || '.' || c.relname = ANY (@tables)`, pgx.NamedArgs{"tables": tables}).Scan(&owns)
	return owns, err
}

const headroomSQL = `
SELECT current_setting('max_replication_slots')::int,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots)::int,
       current_setting('max_wal_senders')::int,
       (SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE pid <> @own)::int`

func examineHeadroom(ctx context.Context, p *patient) ([]Finding, error) {
	var slots, usedSlots, senders, usedSenders int
	own := 0 // the connection that looked at the slot, should the server not have noticed its end
	if p.stream != nil {
		own = p.stream.Info.PID
	}
	if err := p.conn.QueryRow(ctx, headroomSQL, pgx.NamedArgs{"own": own}).Scan(&slots, &usedSlots, &senders, &usedSenders); err != nil {
		return nil, err
	}
	ours := p.stream != nil && p.stream.Slot != nil
	all := []Finding{
		{Grade: OK, Detail: fmt.Sprintf("%d of %d replication slots are in use", usedSlots, slots)},
		{Grade: OK, Detail: fmt.Sprintf("%d of %d walsenders are in use", usedSenders, senders)},
	}
	if usedSlots >= slots && !ours {
		all[0].Grade = Failure
		all[0].Fix = "drop a slot that nobody uses (pg_replication_slots), or raise max_replication_slots and restart Postgres"
	}
	if usedSenders >= senders {
		all[1].Grade = Warning
		all[1].Fix = "raise max_wal_senders and restart Postgres: a relay needs one, and one more for each that stands by"
	}
	return all, nil
}

func examineWALKept(_ context.Context, p *patient) (Finding, error) {
	const mega = 1 << 20
	if p.server.Kept < 0 {
		return warn("ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();",
			"max_slot_wal_keep_size is -1: while no relay runs, the log that the slot keeps can fill the disk")
	}
	size := float64(p.server.Kept) * mega
	if p.server.WALRate <= 0 {
		return ok("the slot may keep %s of the log", bytes(size))
	}
	hours := size / p.server.WALRate / time.Hour.Seconds()
	if hours < 1 {
		return warn("raise max_slot_wal_keep_size: it is how long a relay may be down",
			"the slot may keep %s of the log, which is %.0f minutes at the rate so far", bytes(size), hours*60)
	}
	return ok("the slot may keep %s of the log, which is %.0f hours at the rate so far", bytes(size), hours)
}

func bytes(n float64) string {
	const kilo = 1024
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < kilo {
			return fmt.Sprintf("%.0f %s", n, unit)
		}
		n /= kilo
	}
	return fmt.Sprintf("%.1f TB", n)
}

func examineSlotTimeout(_ context.Context, p *patient) (Finding, error) {
	if t := p.server.SlotTimeout; t != "0" && t != "0s" {
		return warn("longer than a relay may be down; 0 is without a limit", "idle_replication_slot_timeout is %s: Postgres invalidates the slot when no relay has run for that long", t)
	}
	return ok("Postgres drops no slot for being idle")
}

// failoverSQL reads who could take over. The stream of a slot with failover waits for the slots
// that synchronized_standby_slots names; a standby that copies slots is connected under the
// worker's name.
const failoverSQL = `
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_replication AS r JOIN pg_catalog.pg_replication_slots AS s ON s.active_pid = r.pid AND s.slot_type = 'physical'),
       array(SELECT w.name
             FROM unnest(string_to_array(COALESCE(current_setting('synchronized_standby_slots', true), ''), ',')) AS l (item)
             CROSS JOIN LATERAL (SELECT btrim(l.item, E' "\t\n')) AS w (name)
             WHERE w.name <> ''),
       array(SELECT s.slot_name::text FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_type = 'physical' AND s.active),
       EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.application_name LIKE '%slotsync worker')`

func examineFailover(ctx context.Context, p *patient) (Finding, error) {
	const sinceFailover = 170000
	const onStandbys = "on each standby sync_replication_slots = on, hot_standby_feedback = on, primary_slot_name, and a dbname in primary_conninfo"
	var standbys, copies bool
	var awaited, active []string
	if err := p.conn.QueryRow(ctx, failoverSQL).Scan(&standbys, &awaited, &active, &copies); err != nil {
		return Finding{}, err
	}
	away := slices.DeleteFunc(slices.Clone(awaited), func(name string) bool { return slices.Contains(active, name) })
	lone := p.stream != nil && p.stream.Slot != nil && !p.stream.Slot.Failover
	switch {
	case len(away) > 0 && !lone && p.server.Version >= sinceFailover:
		return fail("start the standby; or, if it is gone for good, take its slot out: ALTER SYSTEM SET synchronized_standby_slots = …; SELECT pg_reload_conf();",
			"synchronized_standby_slots names %s, and no standby streams by that slot: the server sends the relay nothing until one does", strings.Join(away, ", "))
	case !standbys:
		return ok("no standby streams by a slot: there is none to fail over to")
	case p.server.Version < sinceFailover:
		return ok("before Postgres 17 a slot is not on the standby: after a failover the relay makes it anew, and finds what it missed in the table")
	case lone:
		return warn("stop the relay, SELECT pg_drop_replication_slot('"+p.cfg.Database.Slot+"'); and start it: it makes the slot with failover",
			"the slot is not one that standbys keep a copy of")
	case len(awaited) == 0:
		return warn("ALTER SYSTEM SET synchronized_standby_slots = '…'; with the standbys' slots, and "+onStandbys,
			"synchronized_standby_slots is empty: a standby may be behind the relay when it takes over")
	case !copies:
		return warn(onStandbys, "no standby copies slots from here now: one that takes over has an old copy of the slot, or none")
	}
	return ok("a standby keeps a copy of the slot, and the relay does not run ahead of it")
}
