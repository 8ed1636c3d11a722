package main

// spillSweepMutants break when a lane is full, and what is seen of one that is left alone.
var spillSweepMutants = []mutant{
	{
		name: "dispatch-sweep-new-before-what-was-parked", file: "relay/internal/dispatch/park.go",
		old:     "\t\tl.spilling = true\n\t\treturn outbox.ReasonLaneFull, now\n",
		new:     "\t\treturn outbox.ReasonLaneFull, now\n",
		promise: "Once a lane was full, nothing new is taken before what it parked.",
		pkg:     "./relay/internal/dispatch", run: "TestALaneThatWasFullTakesNothingNewBeforeWhatItParked",
	},
	{
		name: "dispatch-sweep-lane-spills-for-ever", file: "relay/internal/dispatch/load.go",
		old:     "\t\tl.spilling = false\n",
		new:     "",
		promise: "A lane that has caught up takes what is new without the table.",
		pkg:     "./relay/internal/dispatch", run: "TestALaneThatWasFullTakesNothingNewBeforeWhatItParked",
	},
	{
		name: "dispatch-sweep-idle-lane-counts-for-ever", file: "relay/internal/dispatch/park.go",
		old:     "\t\tl.active = false\n\t\tl.d.active.Add(-1)\n",
		new:     "\t\tl.active = false\n",
		promise: "An endpoint parks for others only while they have traffic.",
		pkg:     "./relay/internal/dispatch", run: "TestALaneIsFullOnlyWhileOthersHaveTraffic",
	},
	{
		name: "dispatch-sweep-lane-is-full-though-alone", file: "relay/internal/dispatch/park.go",
		old:     " && l.d.active.Load() > 1:",
		new:     ":",
		promise: "The only endpoint with traffic is limited by the memory of all.",
		pkg:     "./relay/internal/dispatch", run: "TestALaneOfTheOnlyEndpointWithTrafficIsNeverFull",
	},
	{
		name: "dispatch-sweep-notice-of-a-failure-that-was-none", file: "relay/internal/dispatch/notice.go",
		old:     "\tif !since.IsZero() {\n\t\tbegan",
		new:     "\tif true {\n\t\tbegan",
		promise: "What is said of an endpoint that is well names no time since when it fails.",
		pkg:     "./relay/internal/dispatch", run: "TestANoticeOfAnEndpointThatIsWellSaysOfNoFailure",
	},
	{
		name: "dispatch-sweep-pause-is-not-seen", file: "relay/internal/dispatch/lane.go",
		old:     "if a.pausedUntil.After(time.Now()) {",
		new:     "if a.pausedUntil.IsZero() {",
		promise: "Who asks about an endpoint learns until when it is left alone.",
		pkg:     "./relay/internal/dispatch", run: "TestAdmission_saysUntilWhenAnEndpointIsLeftAlone",
	},
	{
		name: "dispatch-sweep-hole-ends-the-lanes", file: "relay/internal/dispatch/routing.go",
		old:     "\t\t\tif l != nil && !yield(l) {",
		new:     "\t\t\tif l == nil || !yield(l) {",
		promise: "An index that an endpoint has left hides no other one.",
		pkg:     "./relay/internal/dispatch", run: "^TestRouting_namesEachOfItsLanes$",
	},
	{
		name: "dispatch-sweep-body-of-another-endpoint", file: "relay/internal/dispatch/routing.go",
		old:     "l.index < len(r.lanes) && r.lanes[l.index] == l",
		new:     "l.index < len(r.lanes)",
		promise: "What comes from the table for an endpoint that left has no body of another one.",
		pkg:     "./relay/internal/dispatch", run: "^TestRouting_hasNoBodyForALaneThatLeft$",
	},
	{
		name: "dispatch-sweep-batches-of-any-size", file: "relay/internal/dispatch/company.go",
		old:     "(n >= most || weight > p.Bytes)",
		new:     "n >= most",
		promise: "What is chosen for a request is what its body has room for.",
		pkg:     "./relay/internal/dispatch", run: "^TestBatch_hasWhatItsBodyHasRoomFor$",
	},
	{
		name: "dispatch-sweep-batch-fails-for-this-machine", file: "relay/internal/dispatch/batch.go",
		old:     "if first.Unsent || first.Local || aborted {",
		new:     "if first.Unsent || aborted {",
		promise: "What this machine lacks costs a batch no attempt.",
		pkg:     "./relay/internal/dispatch", run: "^TestBatch_aRequestThatIsNotMadeCostsNoAttempt$",
	},
	{
		name: "dispatch-sweep-chain-goes-on-with-its-last-row", file: "relay/internal/dispatch/batch.go",
		old:     "\tif e.rows == 0 {\n\t\te.next, e.written = next, written\n\t}\n",
		new:     "\te.next, e.written = next, written\n",
		promise: "Of a chain that has several rows after a request, the first says when it goes on.",
		pkg:     "./relay/internal/dispatch", run: "^TestBatch_aChainGoesOnWithTheFirstOfItsRows$",
	},
	{
		name: "dispatch-sweep-row-of-a-failure-stays", file: "relay/internal/dispatch/health.go",
		old:     "!h.failing.since.IsZero() || !s.FailingSince.IsZero()",
		new:     "!h.failing.since.IsZero()",
		promise: "Once an endpoint that was enabled has had a success, its row says nothing of failures.",
		pkg:     "./relay/internal/dispatch", run: "^TestHealth_enablingClearsTheRowAtTheNextSuccess$",
	},
}
