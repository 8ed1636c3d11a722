package main

// tenthLedgerMutants are of the tenth sample of what a relay writes and reads: its tables, the
// stream of its slot and the streams of its fan-out.
var tenthLedgerMutants = []mutant{
	{
		name: "tenth-ledger-moved-again-by-ids", file: "relay/internal/ledger/take.go",
		old: "OVER (ORDER BY commit_lsn, seq) - count", new: "OVER (ORDER BY commit_lsn, event_id) - count",
		promise: "What waits keeps its order when the database moves to another cluster a second time.",
		pkg:     "./relay/internal/ledger", run: "TestRebase_puts",
	},
	{
		name: "tenth-ledger-loosened-before-its-time", file: "relay/internal/ledger/keyheads.go",
		old: "COALESCE(d.expires_at, 'infinity')", new: "d.expires_at",
		promise: "An event with a deliver_at and no expiry waits for its time also where its endpoint's order changes.",
		pkg:     "./relay/internal/ledger", run: "TestWhatIsMadeDue",
	},
	{
		name: "tenth-ledger-healed-gaps-count-again", file: "relay/internal/ledger/heal.go",
		old: "    heal_at = NULL,\n    heal_gaps = '{}'\n", new: "    heal_at = NULL\n",
		promise: "A gap that was healed is counted once, also when another heal is due.",
		pkg:     "./relay/internal/ledger", run: "TestGaps_countUntil",
	},
	{
		name: "tenth-ledger-gaps-healed-ahead-stay", file: "relay/internal/ledger/gaps.go",
		old: "    (SELECT max(h.at) FROM tailpost.gap AS h WHERE h.slot = r.slot),\n", new: "",
		promise: "tailpost heal clears also a gap that was healed by a relay whose clock is ahead.",
		pkg:     "./relay/internal/ledger", run: "TestGaps_countUntil",
	},
	{
		name: "tenth-ledger-name-alone-is-no-change", file: "relay/internal/ledger/mirror.go",
		old: "m.name == o.name && ", new: "",
		promise: "A name that is changed alone in the configuration is shown.",
		pkg:     "./relay/internal/ledger", run: "TestMirror_writesWhatChangesAlone",
	},
	{
		name: "tenth-ledger-tenant-alone-is-no-change", file: "relay/internal/ledger/mirror.go",
		old: "return m.tenant == o.tenant && ", new: "return ",
		promise: "An endpoint of the configuration that is given to another tenant is shown as that tenant's.",
		pkg:     "./relay/internal/ledger", run: "TestMirror_writesWhatChangesAlone",
	},
	{
		name: "tenth-ledger-place-alone-is-no-change", file: "relay/internal/ledger/mirror.go",
		old: " && m.origin == o.origin &&", new: " &&",
		promise: "Where an endpoint of the configuration is written down is where it is now.",
		pkg:     "./relay/internal/ledger", run: "TestMirror_writesWhatChangesAlone",
	},
	{
		name: "tenth-ledger-replays-by-ids", file: "relay/internal/ledger/replay.go",
		old: "ORDER BY endpoint_id, created_at, id", new: "ORDER BY endpoint_id, id",
		promise: "Of several replays of an endpoint the one asked for first goes first.",
		pkg:     "./relay/internal/ledger", run: "TestWhatIsRead",
	},
	{
		name: "tenth-ledger-resends-by-ids", file: "relay/internal/ledger/resend.go",
		old: "ORDER BY created_at, id", new: "ORDER BY id",
		promise: "Resends are carried out in the order in which they were asked for.",
		pkg:     "./relay/internal/ledger", run: "TestWhatIsWritten",
	},
	{
		name: "tenth-ledger-prepared-for-how-long", file: "relay/internal/source/postgres/blockers.go",
		old: "COALESCE(a.xact_start, p.prepared)", new: "a.xact_start",
		promise: "Who waits for the slot hears for how long a prepared transaction is open.",
		pkg:     "./relay/internal/source/postgres", run: "TestTheCreationOfASlot",
	},
	{
		name: "tenth-ledger-identity-full-moves", file: "relay/internal/source/postgres/publication.go",
		old: "NOT IN ('d', 'f')", new: "NOT IN ('d')",
		promise: "A row that moves between partitions with REPLICA IDENTITY FULL is sent once.",
		pkg:     "./relay/internal/source/postgres", run: "TestAPublicationOfRowsThatMove",
	},
	{
		name: "tenth-ledger-stream-waits-for-no-lock", file: "relay/internal/source/postgres/slot.go",
		old: "`SET statement_timeout = 0; SET lock_timeout = 0`", new: "`SET statement_timeout = 0`",
		promise: "A long lock on the catalogue does not end the stream.",
		pkg:     "./relay/internal/source/postgres", run: "TestWhatTakesLongHasNoTimeLimit",
	},
	{
		name: "tenth-ledger-row-of-the-table-before", file: "relay/internal/source/jetstream/replay.go",
		old: "if r.tab == nil || string(r.item) != string(w.Table) {", new: "if r.tab == nil {",
		promise: "A change of an endpoint is read by the columns that its table had then.",
		pkg:     "./relay/internal/source/jetstream", run: "TestWhatIsPublishedIsBrought",
	},
	{
		name: "tenth-ledger-row-sent-with-the-table-before", file: "relay/internal/source/jetstream/publisher.go",
		old: "if p.table != row.Table {", new: "if p.table == nil {",
		promise: "A change of an endpoint goes to its sender with the columns that its table had then.",
		pkg:     "./relay/internal/source/jetstream", run: "TestWhatIsPublishedIsBrought",
	},
	{
		name: "tenth-ledger-search-of-before-the-reload", file: "relay/internal/fleet/partition.go",
		old: "\tdispatcher.SetSearch(next.Config.Outbox.Search)\n", new: "",
		promise: "A reload's outbox.search holds for what senders of a fan-out attempt from then on.",
		pkg:     "./relay/internal/fleet", run: "TestAReloadReachesEveryPartition",
	},
	{
		name: "tenth-ledger-failed-purge-is-over", file: "relay/internal/source/jetstream/purge.go",
		old: "\t\t\ts.purgeSoon()\n\t\t}\n\t\tif pace.Wait", new: "\t\t}\n\t\tif pace.Wait",
		promise: "A purge that failed is tried again though nothing more is acknowledged.",
		pkg:     "./relay/internal/source/jetstream", run: "TestAPurgeThatFails",
	},
	{
		name: "tenth-ledger-head-of-a-transaction", file: "relay/internal/ledger/keyheads.go",
		old: "ORDER BY head.commit_lsn, head.seq", new: "ORDER BY head.commit_lsn",
		promise: "Of a dead and a pending event of one transaction the first one is the head.",
		pkg:     "./relay/internal/ledger", run: "TestOrderedLoads_haveTheFirst",
	},
	{
		name: "tenth-ledger-heads-of-keys-in-a-transaction", file: "relay/internal/ledger/keyheads.go",
		old: "r.lsn < o.lsn || r.lsn == o.lsn && r.seq < o.seq", new: "r.lsn < o.lsn",
		promise: "Of a dead and a pending event of one key and transaction the first one is the head.",
		pkg:     "./relay/internal/ledger", run: "TestOrderedLoads_haveTheFirst",
	},
}
