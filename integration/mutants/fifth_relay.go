package main

// fifthRelayMutants break who owns and sends what in a fleet, and what wakes a lane: no test of the
// packages themselves noticed these.
var fifthRelayMutants = []mutant{
	{
		name: "fifth-lease-lost-for-no-reason", file: "relay/internal/lease/lease.go",
		old:     "\tl.why = why\n",
		new:     "",
		promise: "Whoever loses a lease says why.",
		pkg:     "./relay/internal/lease", run: "^TestCloseLetsGoAtOnce$",
	},
	{
		name: "fifth-lease-next-application-untold", file: "relay/internal/lease/survey.go",
		old:     "if !again || was.pid != pid {",
		new:     "if !again {",
		promise: "Each application that holds a partition's lock is told of.",
		pkg:     "./relay/internal/lease", run: "^TestAnApplicationsLockIsNoMembers$",
	},
	{
		name: "fifth-lease-partition-below-the-first", file: "relay/internal/lease/lease.go",
		old:     "if partition < 0 || partition >= l.opts.Partitions {",
		new:     "if partition >= l.opts.Partitions {",
		promise: "Nobody takes a partition that there is not.",
		pkg:     "./relay/internal/lease", run: "^TestAPartitionHasOneOwner$",
	},
	{
		name: "fifth-fleet-tries-what-a-person-must-mend", file: "relay/internal/fleet/fleet.go",
		old:     "\t\tcase errors.Is(err, jetstream.ErrSetup):\n\t\t\treturn nil, err\n",
		new:     "",
		promise: "A fleet whose streams a person must mend says so, and does not try for ever.",
		pkg:     "./relay/internal/fleet", run: "^TestOpen_reachesNATSAsTheConfigurationSays$",
	},
	{
		name: "fifth-fleet-alone-without-audits", file: "relay/internal/fleet/fleet.go",
		old:     "if heals && tooLong(f.reached().Cut(), hold) {",
		new:     "if tooLong(f.reached().Cut(), hold) {",
		promise: "A relay goes on without NATS only where a heal can find what is left there.",
		pkg:     "./relay/internal/fleet", run: "^TestAwait_ofAProcessThatIsCutOff$",
	},
	{
		name: "fifth-fleet-hold-alone-without-audits", file: "relay/internal/fleet/fleet.go",
		old:     "if tooLong(o.Reader.Stuck(), cfg.Fanout.Hold) && canHeal(cfg) {",
		new:     "if tooLong(o.Reader.Stuck(), cfg.Fanout.Hold) {",
		promise: "A hold goes on without NATS only where a heal can find what is left there.",
		pkg:     "./relay/internal/fleet", run: "^TestWatch_ofAHoldThatPublishes$",
	},
	{
		name: "fifth-fleet-waits-twice", file: "relay/internal/fleet/fleet.go",
		old:     "\t// The holder before may have waited as long as this process has: once is enough.\n\tif heals && tooLong(f.reached().Cut(), hold) {\n\t\tf.goAlone(hold)\n\t\tf.alone = true\n\t}\n",
		new:     "",
		promise: "A process that is cut off for the hold goes on alone at once.",
		pkg:     "./relay/internal/fleet", run: "^TestAwait_ofAProcessThatIsCutOff$",
	},
	{
		name: "fifth-fleet-keeps-the-slot-from-others", file: "relay/internal/fleet/fleet.go",
		old:     "\t\t\tif yields, err := f.yields(ctx, o.Members); yields && err == nil {\n\t\t\t\to.End(errYields)\n\t\t\t\treturn\n\t\t\t}\n",
		new:     "",
		promise: "A holder that alone is cut off from NATS leaves the slot to others.",
		pkg:     "./relay/internal/fleet", run: "^TestWatch_ofAHoldThatPublishes$",
	},
	{
		name: "fifth-fleet-yields-at-once", file: "relay/internal/fleet/fleet.go",
		old:     "if !tooLong(f.reached().Cut(), yieldAfter) {",
		new:     "if f.reached().Connected() {",
		promise: "A moment without NATS costs nobody the slot.",
		pkg:     "./relay/internal/fleet", run: "^TestAwait_ofAProcessThatIsCutOff$",
	},
	{
		name: "fifth-fleet-drains-nobody", file: "relay/internal/fleet/reader.go",
		old:     "if o.Former == 0 || o.Former == f.Partitions() || f.Partitions() == 0 {",
		new:     "if o.Former == 0 || o.Former == f.Partitions() {",
		promise: "A holder that delivers itself waits for no partitions.",
		pkg:     "./relay/internal/fleet", run: "^TestDrain_isOfOtherPartitions$",
	},
	{
		name: "fifth-queue-full-and-overwritten", file: "relay/internal/dispatch/queue.go",
		old:     "\tq.grow()\n\tq.first = (",
		new:     "\tq.first = (",
		promise: "What goes back into a full queue takes nobody's place.",
		pkg:     "./relay/internal/dispatch", run: "^TestMemory_takesBackWhatFoundItFull$",
	},
	{
		name: "fifth-load-rest-forgotten", file: "relay/internal/dispatch/load.go",
		old:     "\t\t\tf.next = p.now // the rest is for the next look\n",
		new:     "",
		promise: "What has no key does not wait for a long chain.",
		pkg:     "./relay/internal/dispatch", run: "^TestLoader_findsWhatHasNoKeyBesideALongChain$",
	},
	{
		name: "fifth-admission-steps-stay-small", file: "relay/internal/dispatch/admission.go",
		old:     "\t\ta.clean += weight\n",
		new:     "",
		promise: "An endpoint that takes far more than before soon gets it.",
		pkg:     "./relay/internal/dispatch", run: "^TestAdmission_growsFarBeyondWhereRefusalsBegan$",
	},
	{
		name: "fifth-admission-all-at-once-after-a-pause", file: "relay/internal/dispatch/admission.go",
		old:     "\t\ta.begin(a.pausedUntil)\n\t\ta.restart()\n",
		new:     "\t\ta.begin(a.pausedUntil)\n",
		promise: "An endpoint that asked to be left alone begins slowly.",
		pkg:     "./relay/internal/dispatch", run: "^TestAdmission_doesWhatAReceiverInsistsOn$",
	},
}
