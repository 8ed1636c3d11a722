package heal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// Finding is what is known when a slot is taken: what opening its stream ran into, what the slot's
// row says of before, and how things are now.
type Finding struct {
	Err    error           // why the last stream ended, or this one could not be opened; nil: nothing is known of that
	Before ledger.Position // what the slot's row says
	Info   postgres.Info   // what opening the stream found
	// Publication is the identity of publication and outbox table now; see Ledger.Publication.
	Publication string
	// Acked is how far this process has acknowledged the slot, in whatever hold.
	Acked source.Position
}

// detector looks for one cause of a gap.
type detector struct {
	name string
	// looks returns why the stream may have missed events, as logs and tailpost.gap have it; empty:
	// it has not.
	looks func(f *Finding) string
	// mend changes with what options the stream is opened, so that it can be. nil: it opened as it
	// is.
	mend func(o *postgres.Options)
	// refusal says that only opening a stream tells: an error that ends one is looked at again when
	// it is opened anew.
	refusal bool
	// alone says that what an earlier detector found explains what this one looks at.
	alone bool
	// doubt says that the cause is likely none: the table is looked at, at the pace of an audit and
	// while deliveries go on, and a gap is reported only if something was lost.
	doubt bool
	// glance says that a doubt is so small that only the newest rows are looked at, where an index
	// finds them.
	glance bool
}

// detectors are all causes of a gap that are known. A new one is a row here, and one in
// TestDetectors.
//
// Those that mend look at an error only, before there is anything else to look at; the others at a
// slot that was opened.
func detectors() []detector {
	return []detector{
		{
			name:  "undecodable",
			looks: on(postgres.ErrUnreadable, "the publication was missing while events were committed"),
			mend:  func(o *postgres.Options) { o.SkipBacklog = true },
		},
		{
			name:  "WAL missing",
			looks: on(postgres.ErrWALMissing, "WAL that the slot needed was missing"),
			mend:  func(o *postgres.Options) { o.Replace = true },
		},
		{
			name:  "slot missing",
			looks: on(postgres.ErrSlotMissing, "the slot was missing"),
			mend:  create, refusal: true,
		},
		{
			name:  "slot lost",
			looks: on(postgres.ErrSlotLost, "Postgres invalidated the slot"),
			mend:  create, refusal: true,
		},
		{name: "another server", looks: anotherServer},
		{name: "timeline", looks: timeline},
		{name: "publication", looks: publication},
		{name: "upgraded", looks: upgraded, doubt: true},
		{name: "skipped", looks: skipped, alone: true},
		{name: "slot ahead", looks: ahead, alone: true, doubt: true},
		{name: "slot ahead within the lease", looks: leased, alone: true, doubt: true, glance: true},
	}
}

// on looks for an error.
func on(kind error, why string) func(*Finding) string {
	return func(f *Finding) string {
		if errors.Is(f.Err, kind) {
			return why
		}
		return ""
	}
}

func create(o *postgres.Options) { o.Create, o.ReplaceLost = true, true }

func anotherServer(f *Finding) string {
	if !f.isElsewhere() || f.isUpgraded() {
		return ""
	}
	return fmt.Sprintf("the server is another one: system identifier %s instead of %s", f.Info.SystemID, f.Before.SystemID)
}

// upgraded is that pg_upgrade has kept the slot. It does not unless the slot had confirmed all WAL
// that had something for it.
func upgraded(f *Finding) string {
	if !f.isUpgraded() {
		return ""
	}
	return fmt.Sprintf("pg_upgrade has kept the slot: system identifier %s instead of %s", f.Info.SystemID, f.Before.SystemID)
}

// isElsewhere reports whether the slot is on another cluster than it was.
func (f *Finding) isElsewhere() bool {
	return f.Info.SystemID != "" && f.Before.SystemID != f.Info.SystemID
}

// isUpgraded reports whether the other cluster has what pg_upgrade keeps, and a dump does not: the
// slot, later positions, and the table's OID. The publication is created anew.
func (f *Finding) isUpgraded() bool {
	const keepsSlots = 170000
	was, is := strings.Split(f.Before.Publication, "."), strings.Split(f.Publication, ".")
	return f.isElsewhere() && f.Info.ServerVersion >= keepsSlots && !f.Info.SlotCreated && f.Before.Heal == nil &&
		source.Position(f.Info.ConfirmedFlush) >= f.reached() &&
		len(was) == publicationParts && len(is) == publicationParts && was[publicationTable] == is[publicationTable]
}

// The parts of an identity of Ledger.Publication, and which of them is the table.
const (
	publicationParts = 5
	publicationTable = 2
)

func timeline(f *Finding) string {
	if f.Before.SystemID != f.Info.SystemID || f.Before.Timeline == f.Info.Timeline {
		return ""
	}
	return fmt.Sprintf("the server went from timeline %d to %d: a failover or a restore", f.Before.Timeline, f.Info.Timeline)
}

// publication says what differs between two identities of Ledger.Publication.
func publication(f *Finding) string {
	if f.Before.Publication == "" || f.Before.Publication == f.Publication || f.isUpgraded() {
		return ""
	}
	was, is := strings.Split(f.Before.Publication, "."), strings.Split(f.Publication, ".")
	switch {
	case len(was) != publicationParts || len(is) != publicationParts:
		return "the publication was changed"
	case was[publicationTable] != is[publicationTable]:
		return "the outbox table was created anew"
	case was[0] != is[0]:
		return "the publication was created anew"
	default:
		return "the publication was changed"
	}
}

// skipped is that opening the stream let WAL go unread. Whoever asked for that has noted why.
func skipped(f *Finding) string {
	if f.Info.SkippedFrom == 0 || f.Before.Heal != nil {
		return ""
	}
	return "WAL from a time without publication cannot be decoded"
}

const whyAhead = "the slot is ahead of what was recorded"

// ahead is that the slot stands beyond what was recorded, and beyond what a relay lets go of
// without a record because there are no events in it: somebody else has moved it.
func ahead(f *Finding) string {
	if !f.isAhead() || source.Position(f.Info.ConfirmedFlush) <= source.Position(f.Before.Released) {
		return ""
	}
	return whyAhead
}

// leased is that the slot stands beyond what was recorded, where ahead does not say that it is
// beyond what a relay lets go of without a record. After a crash it does; somebody else may have
// moved it there as well.
func leased(f *Finding) string {
	if !f.isAhead() {
		return ""
	}
	return whyAhead
}

// isAhead reports whether the slot stands beyond what was recorded, and this process has not
// acknowledged it that far.
func (f *Finding) isAhead() bool {
	return f.Before.Heal == nil && source.Position(f.Info.ConfirmedFlush) > f.reached()
}

// reached is up to where the slot may stand with nobody else's doing.
func (f *Finding) reached() source.Position {
	return max(source.Position(f.Before.Settled), f.Acked)
}

// Gap returns the heal that is due for what taking the slot has brought to light; nil: none is.
func (f *Finding) Gap(now time.Time) *ledger.Heal {
	whys, _ := f.whys(false)
	if len(whys) == 0 {
		return nil
	}
	heal := After(f.Before, strings.Join(whys, "; "), now)
	return &heal
}

// Doubt returns what the table is to be looked at for although no gap is known; nil: for nothing.
func (f *Finding) Doubt(now time.Time) *Inquiry {
	whys, glance := f.whys(true)
	if len(whys) == 0 {
		return nil
	}
	return &Inquiry{Heal: After(f.Before, strings.Join(whys, "; "), now), pace: auditPace, doubt: true, glance: glance}
}

// whys returns what the detectors that look at a slot that was opened find, and whether a glance is
// enough for all of it.
func (f *Finding) whys(doubt bool) (whys []string, glance bool) {
	all, glance := detectors(), true
	for i := range all {
		d := &all[i]
		if d.mend != nil || d.doubt != doubt || d.alone && len(whys) > 0 {
			continue
		}
		if why := d.looks(f); why != "" {
			whys, glance = append(whys, why), glance && d.glance
		}
	}
	return whys, glance
}

// After returns the heal of what was committed after what the slot's row says.
func After(before ledger.Position, why string, now time.Time) ledger.Heal {
	heal := ledger.Heal{Why: why, From: before.Settled, At: now}
	switch {
	case !before.SettledAt.IsZero():
		heal.Since = before.SettledAt.Add(-GapMargin)
	case !before.AuditedAt.IsZero():
		heal.Since = before.AuditedAt.Add(-GapMargin)
	default:
		heal.Since = before.StartedAt.Add(-GapMargin)
	}
	return heal
}

// Backfill returns the heal that delivers rows older than the slot, which begins at a place; nil:
// none is asked for.
func Backfill(start config.Start, place source.Position, now time.Time) *ledger.Heal {
	if !start.Beginning && start.At.IsZero() {
		return nil
	}
	return &ledger.Heal{Why: whyBackfill, Since: start.At, From: outbox.LSN(place), At: now}
}

// Missed reports whether the stream may have missed changes of endpoints, not only events: one of
// the heals is of a gap.
func Missed(heals ...*ledger.Heal) bool {
	return slices.ContainsFunc(heals, func(h *ledger.Heal) bool { return h != nil && h.Why != whyBackfill })
}

// Symptoms collects the signs of gaps between the end of one hold and the taking of the slot. They
// belong to one goroutine.
type Symptoms struct {
	broken []symptom // what keeps the stream from being opened
	noted  string    // why a gap was noted in the database since the slot was last taken; empty: none was
}

// symptom is an error that tells of a gap, and what is to be done about it.
type symptom struct {
	why  string
	mend func(*postgres.Options)
}

// Ended notes why a stream ended.
func (s *Symptoms) Ended(err error) { s.found(err, false) }

// Refused notes why a stream could not be opened, and reports whether it can be once Mend has
// changed the options.
func (s *Symptoms) Refused(err error) bool { return s.found(err, true) }

func (s *Symptoms) found(err error, refusal bool) (found bool) {
	all := detectors()
	for i := range all {
		d := &all[i]
		if d.mend == nil || d.refusal != refusal {
			continue
		}
		why := d.looks(&Finding{Err: err})
		if why == "" {
			continue
		}
		found = true
		if !slices.ContainsFunc(s.broken, func(b symptom) bool { return b.why == why }) {
			s.broken = append(s.broken, symptom{why: why, mend: d.mend})
		}
	}
	return found
}

// Forget drops what was found: another relay holds the slot, and finds out for itself.
func (s *Symptoms) Forget() { s.broken = nil }

// Mend changes the options with which the stream is opened so that it can be, and returns why: that
// is to be noted in the database first, so that no crash forgets it.
func (s *Symptoms) Mend(o *postgres.Options) (whys []string) {
	for _, b := range s.broken {
		b.mend(o)
		whys = append(whys, b.why)
	}
	return whys
}

// Noted notes that a gap was noted in the database.
func (s *Symptoms) Noted(why string) { s.noted = why }

// Opened notes that the stream was opened: nothing is left to mend.
func (s *Symptoms) Opened() { s.broken = nil }

// Taken notes that the slot was taken, and returns why a gap was noted before that; empty: none
// was.
func (s *Symptoms) Taken() (noted string) {
	noted, s.noted = s.noted, ""
	return noted
}
