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
}
