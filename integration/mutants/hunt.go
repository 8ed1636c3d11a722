package main

// huntMutants are what a stranger found who ran a fleet and took things away from it.
var huntMutants = []mutant{
	{
		name: "hunt-heal-rests-for-its-rests", file: "relay/internal/heal/sweep.go",
		old:     "\ttook := s.busy\n\ts.busy = 0\n",
		new:     "\ttook := s.busy\n\tdefer func(began time.Time) { s.busy = time.Since(began) }(time.Now())\n",
		promise: "However much is missing, it is there after a small multiple of what the database does for it.",
		pkg:     "./relay/internal/heal", run: "^TestAHealRestsOnceForWhatItDoes$",
	},
	{
		name: "hunt-heal-queues-without-a-rest", file: "relay/internal/heal/sweep.go",
		old:     "\t// Recording waits for the slot's row while a batch has it.\n\treturn s.rest(ctx)\n",
		new:     "\treturn nil\n",
		promise: "Recording has its turn after each transaction of a heal.",
		pkg:     "./relay/internal/heal", run: "^TestAHealRestsOnceForWhatItDoes$",
	},
	{
		name: "hunt-heal-tells-at-its-end-alone", file: "relay/internal/heal/sweep.go",
		old:     "\ts.tellProgress()\n",
		new:     "",
		promise: "The log says that an audit found something when it begins to queue it.",
		pkg:     "./relay/internal/heal", run: "^TestAnAuditTellsHowFarItIs$",
	},
	{
		name: "hunt-settled-never-for-one-partition", file: "relay/internal/query/settled.go",
		old:     "WHEN count(*) = r.partitions THEN min(p.settled_at)",
		new:     "WHEN count(p.settled_at) = r.partitions THEN min(p.settled_at)",
		promise: "A partition that never had a transaction hides not when the others settled theirs.",
		pkg:     "./relay/internal/query", run: "^TestWhatIsSettledIsWhatAllPartitionsHaveSettled$",
	},
	{
		name: "hunt-settled-an-event-of-an-unknown-partition-is-unmatched", file: "relay/internal/query/settled.go",
		old:     "count(p.settled_at) = r.partitions ` + partitionsSQL",
		new:     "count(*) = r.partitions ` + partitionsSQL",
		promise: "An event that waits in a partition that has recorded nothing yet is new, and not unmatched.",
		pkg:     "./relay/internal/query", run: "^TestWhatIsSettledIsWhatAllPartitionsHaveSettled$",
	},
	{
		name: "hunt-watch-waits-for-the-whole-folder", file: "config/watch.go",
		old:     "\t\tif !looking {\n",
		new:     "\t\tif !looking || true {\n",
		promise: "A busy file beside the configuration delays no reload.",
		pkg:     "./config", run: "^TestWatchSeesAChangeBesideABusyFile$",
	},
	{
		name: "hunt-watch-reads-what-is-half-written", file: "config/watch.go",
		old:     "\tbefore := w.last\n\tw.begin()\n",
		new:     "\tw.begin()\n\tbefore := w.last\n",
		promise: "What is still being written is not read.",
		pkg:     "./config", run: "^TestAChangeCountsOnceItWasLeftAlone$",
	},
	{
		name: "hunt-alone-of-a-former-holder", file: "relay/internal/query/settled.go",
		old:     "AS c USING (slot, epoch)",
		new:     "AS c USING (slot)",
		promise: "What a holder of before had noted does not tell how this one delivers.",
		pkg:     "./relay/internal/query", run: "^TestAHolderThatDeliversAlone",
	},
	{
		name: "hunt-status-is-silent-of-a-relay-alone", file: "cmd/tailpost/status.go",
		old:     "\tcase r.Publishing.Alone:\n",
		new:     "\tcase false:\n",
		promise: "Whoever is asked says that a fleet's relay delivers alone.",
		pkg:     "./cmd/tailpost", run: "^TestStatusSaysSinceWhenNATSTakesNothing$",
	},
	{
		name: "hunt-heal-says-the-year-one", file: "relay/internal/heal/audit.go",
		old:     "if !gap.Since.IsZero() {",
		new:     "if true {",
		promise: "The log has no time that is not known.",
		pkg:     "./relay/internal/heal", run: "^TestTheReportOfAGapSaysWhatCouldNotBeHealed$",
	},
	{
		name: "hunt-look-at-the-configuration-alone", file: "relay/internal/source/jetstream/look.go",
		old:     "return true, judgeReplicas(info)",
		new:     "return true, nil",
		promise: "Whoever looks while servers are away is told which.",
		pkg:     "./relay/internal/source/jetstream", run: "^TestALookSaysWhichReplicasAreAway$",
	},
	{
		name: "hunt-look-calls-a-lost-quorum-degraded", file: "relay/internal/source/jetstream/look.go",
		old:     "info.Config.Replicas/2 + 1; {",
		new:     "info.Config.Replicas / 2; {",
		promise: "One of three replicas is too few, and a look says so.",
		pkg:     "./relay/internal/source/jetstream", run: "^TestALookSaysWhichReplicasAreAway$",
	},
}
