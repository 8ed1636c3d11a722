package main

// sixthRelayMutants break what a fleet sends and what a process says of itself: nothing, or only a
// test of many seconds, noticed these.
var sixthRelayMutants = []mutant{
	{
		name: "sixth-relay-drains-in-silence", file: "relay/relay.go",
		old:     "\t\tr.setState(Draining)\n",
		new:     "",
		promise: "A relay that lets requests in flight end says so.",
		pkg:     "./relay", run: "^TestWhatAProcessDoesIsToldByItsMetricsAndItsAPI$",
	},
	{
		name: "sixth-relay-no-time-to-end", file: "relay/relay.go",
		old:     "\tif o.Grace == 0 {\n\t\to.Grace = 10 * time.Second\n\t}\n",
		new:     "",
		promise: "Requests in flight have ten seconds to end where nobody says otherwise.",
		pkg:     "./relay", run: "^TestWhatAProcessDoesIsToldByItsMetricsAndItsAPI$",
	},
	{
		name: "sixth-relay-dropped-lines-uncounted", file: "relay/api.go",
		old:     "\t\tLogDropped: r.opts.LogDropped, Clocks",
		new:     "\t\tClocks",
		promise: "Lines of the log that were dropped are counted.",
		pkg:     "./relay", run: "^TestWhatAProcessDoesIsToldByItsMetricsAndItsAPI$",
	},
	{
		name: "sixth-relay-audits-uncounted", file: "relay/hold.go",
		old:     " Ended: h.r.rare.Audited,",
		new:     "",
		promise: "Audits are counted.",
		pkg:     "./relay", run: "^TestWhatAFanoutLeavesBehindIsLookedFor$",
	},
	{
		name: "sixth-relay-admission-of-the-last", file: "relay/api.go",
		old:     "\t\tif a, ok = d.Admission(id); ok {\n\t\t\tbreak\n\t\t}\n",
		new:     "\t\ta, ok = d.Admission(id)\n",
		promise: "How much an endpoint is sent is told by the partition that has it.",
		pkg:     "./relay", run: "^TestAPartitionIsDeliveredAsASlotIs$",
	},
	{
		name: "sixth-relay-partitions-left-for-no-reason", file: "relay/take.go",
		old:     " Why: heal.WhyPartitions,",
		new:     "",
		promise: "What a fan-out leaves behind is looked for as what it is.",
		pkg:     "./relay", run: "^TestWhatAFanoutLeavesBehindIsLookedFor$",
	},
	{
		name: "sixth-relay-reload-ends-a-hold-that-can-go-on", file: "relay/reload.go",
		old:     "case holding != h, old.concernsAll(next), ",
		new:     "case holding != nil, ",
		promise: "A reload that concerns nothing in memory ends no hold.",
		pkg:     "./relay", run: "^TestAReloadReachesPartitions$",
	},
	{
		name: "sixth-fleet-order-does-not-wait", file: "relay/internal/fleet/partition.go",
		old:     " Healing: slot.Heal != nil,\n",
		new:     "\n",
		promise: "What a partition has for an endpoint with an order waits for the audit of a gap.",
		pkg:     "./relay", run: "^TestAPartitionKeepsItsOrderOverAGap$",
	},
	{
		name: "sixth-fleet-order-waits-for-ever", file: "relay/internal/fleet/partition.go",
		old:     "\tif was {\n\t\tdispatcher.Healed()\n\t}\n",
		new:     "\t_, _ = was, dispatcher\n",
		promise: "A partition's order goes on once the audit is over.",
		pkg:     "./relay", run: "^TestAPartitionKeepsItsOrderOverAGap$",
	},
	{
		name: "sixth-fleet-attempts-uncounted", file: "relay/internal/fleet/partition.go",
		old:     " Committed: o.Committed,",
		new:     "",
		promise: "What a partition attempts is counted.",
		pkg:     "./relay", run: "^TestAPartitionIsDeliveredAsASlotIs$",
	},
	{
		name: "sixth-fleet-attempts-untraced", file: "relay/internal/fleet/partition.go",
		old:     " Trace: o.Trace(),",
		new:     "",
		promise: "What a partition attempts is traced.",
		pkg:     "./relay", run: "^TestAPartitionIsDeliveredAsASlotIs$",
	},
	{
		name: "sixth-backtest-shows-one-more", file: "relay/internal/api/backtest.go",
		old:     "if len(e.Events) < shownEvents {",
		new:     "if len(e.Events) <= shownEvents {",
		promise: "A backtest names as many events as its answer says.",
		pkg:     "./relay/internal/api", run: "^TestATrialCountsAllAndShowsSome$",
	},
	{
		name: "sixth-backtest-shows-payloads-to-all", file: "relay/internal/api/backtest.go",
		old:     "if !t.bodies || len(t.out.Bodies) == shownBodies {",
		new:     "if len(t.out.Bodies) == shownBodies {",
		promise: "A backtest shows payloads only to keys that may read them.",
		pkg:     "./relay/internal/api", run: "^TestATrialCountsAllAndShowsSome$",
	},
	{
		name: "sixth-completeness-lost-twice", file: "relay/internal/api/completeness.go",
		old:     "\t\tcase lost[e.ID]:\n",
		new:     "",
		promise: "An event without a trace is counted as nothing else.",
		pkg:     "./relay/internal/api", run: "^TestEventsAreCountedAsWhatBecameOfThem$",
	},
}
