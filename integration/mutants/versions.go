package main

// versionMutants break the versions of events: the steps down to the one that an endpoint pins, who
// pins which, and what is told of one that is gone.
var versionMutants = []mutant{
	{
		name: "versions-oldest-step-first", file: "config/version.go",
		old: "	for i := range s.down {\n		step := s.down[i].step(e)", new: "	for n := range s.down {\n		i := len(s.down) - 1 - n\n		step := s.down[i].step(e)",
		promise: "An event goes from the newest version down to the pinned one.",
		pkg:     "./config", run: "TestStepsAreThoseAfterThePinnedVersion",
	},
	{
		name: "versions-order-of-the-file", file: "config/version.go",
		old: "return cmp.Compare(b.Name, a.Name)", new: "return 0",
		promise: "Versions are in the order of their days, wherever they stand.",
		pkg:     "./config", run: "TestAnEventGoesFromTheNewestVersionDownToThePinnedOne",
	},
	{
		name: "versions-own-step-too", file: "config/version.go",
		old: "e.steps.down = v[:at]", new: "e.steps.down = v[:min(at+1, len(v)-1)]",
		promise: "An endpoint gets its version, and not the one before it.",
		pkg:     "./config", run: "TestStepsAreThoseAfterThePinnedVersion",
	},
	{
		name: "versions-steps-without-a-bound", file: "config/version.go",
		old: "if err == nil && len(data) > most {", new: "if err == nil && len(data) > most && false {",
		promise: "Steps together make no more of an event than one may.",
		pkg:     "./config", run: "TestStepsDoNotPileUp",
	},
	{
		name: "versions-step-without-its-where", file: "config/version.go",
		old: "			if ok, _ := s.Where.Match(e); !ok {\n				continue\n", new: "			if ok, _ := s.Where.Match(e); !ok {\n				break\n",
		promise: "The first event block that takes an event makes its body.",
		pkg:     "./config", run: "TestAnEventGoesFromTheNewestVersionDownToThePinnedOne",
	},
	{
		name: "versions-unknown-is-the-newest", file: "config/version.go",
		old: "		e.steps.unknown = e.Version\n", new: "",
		promise: "A version that the configuration does not have is no other version.",
		pkg:     "./relay", run: "TestAnEndpointOfTheAPINeverGetsAnotherVersionWithoutAWord",
	},
	{
		name: "versions-own-events-too", file: "config/version.go",
		old: "return !strings.HasPrefix(eventType, versionless)", new: "return !strings.HasPrefix(eventType, \"x\"+versionless)",
		promise: "Tailpost's own events have no versions.",
		pkg:     "./relay/internal/webhook", run: "TestARequestHasTheDataOfTheVersionThatItsEndpointPins",
	},
	{
		name: "versions-filters-see-the-newest", file: "relay/internal/route/versioned.go",
		old: "	e := v.of(ep)\n", new: "	e := v.event\n",
		promise: "Filters see the version that their endpoint pins.",
		pkg:     "./relay/internal/route", run: "TestFiltersSeeTheVersionThatTheirEndpointPins",
	},
	{
		name: "versions-first-made-for-all", file: "relay/internal/route/versioned.go",
		old: "if v.made[i].steps.Same(ep.steps) {", new: "if true {",
		promise: "What is made for one version is not taken for another.",
		pkg:     "./relay/internal/route", run: "TestFiltersSeeTheVersionThatTheirEndpointPins",
	},
	{
		name: "versions-unreadable-is-filtered-out", file: "relay/internal/route/versioned.go",
		old: "	if e == nil {\n		return true, false\n", new: "	if e == nil {\n		return false, false\n",
		promise: "An event that cannot be brought to a version is not lost without a word.",
		pkg:     "./relay/internal/route", run: "TestFiltersSeeTheVersionThatTheirEndpointPins",
	},
	{
		name: "versions-request-of-the-newest", file: "relay/internal/webhook/endpoint.go",
		old: "	older.Event = ev\n", new: "",
		promise: "A request has the data of the version that its endpoint pins.",
		pkg:     "./relay/internal/webhook", run: "TestARequestHasTheDataOfTheVersionThatItsEndpointPins",
	},
	{
		name: "versions-no-header", file: "relay/internal/webhook/head.go",
		old: "(e.batch.On() || config.Versioned(r.Event.Type))", new: "(e.batch.On() || e.version == r.Event.Type)",
		promise: "A request says which version its data has.",
		pkg:     "./relay/internal/webhook", run: "TestARequestHasTheDataOfTheVersionThatItsEndpointPins",
	},
	{
		name: "versions-header-in-batches-only", file: "relay/internal/webhook/head.go",
		old: "(e.batch.On() || config.Versioned(r.Event.Type))", new: "(e.batch.On() || !config.Versioned(r.Event.Type))",
		promise: "A receiver finds the schema of what it got by the header, batch or not.",
		pkg:     "./integration", run: "TestReceiversValidateTheVersionThatTheyPin",
	},
	{
		name: "versions-made-before-gets-the-newest", file: "relay/internal/ledger/endpoint.go",
		old: "		otherwise = versions.Oldest()\n", new: "",
		promise: "An endpoint of before there were versions stays with what it got.",
		pkg:     "./relay/internal/api", run: "TestAnEndpointKeepsTheVersionOfTheDayOnWhichItWasMade",
	},
	{
		name: "versions-oldest-is-not-written", file: "relay/hold.go",
		old: "	pinned, err := led.PinOldest(ctx, oldest, now)\n", new: "	pinned, err := int64(0), error(nil)\n",
		promise: "An endpoint of before there were versions keeps its version when that is no longer the oldest.",
		pkg:     "./relay", run: "TestAnEndpointOfTheAPINeverGetsAnotherVersionWithoutAWord",
	},
	{
		name: "versions-reload-keeps-the-senders", file: "relay/reload.go",
		old: "!s.cfg.Versions.Equal(next.cfg.Versions) || ", new: "",
		promise: "A reload that changes versions changes what endpoints of the API get.",
		pkg:     "./relay", run: "TestAnEndpointOfTheAPINeverGetsAnotherVersionWithoutAWord",
	},
	{
		name: "versions-put-pins-the-newest", file: "relay/internal/api/endpoint.go",
		old: "Tenant: row.Tenant, Version: was.Version}", new: "Tenant: row.Tenant, Description: was.Version[:0]}",
		promise: "A replacement that names no version keeps the one that there is.",
		pkg:     "./relay/internal/api", run: "TestAnEndpointKeepsTheVersionOfTheDayOnWhichItWasMade",
	},
	{
		name: "versions-backtest-of-the-newest", file: "relay/internal/api/backtest.go",
		old: "	ev, err := t.steps[m.Index].Event(ev)\n", new: "	ev, err := t.steps[0].Event(ev)\n",
		promise: "A backtest shows the data in the version that is tried.",
		pkg:     "./relay/internal/api", run: "TestABacktestShowsWhatAVersionChanges",
	},
	{
		name: "versions-explained-with-the-newest", file: "relay/internal/api/explain.go",
		old: "tryFilter(sub.Where, seen, x.values)", new: "tryFilter(sub.Where, ev, x.values && seen != nil)",
		promise: "Why an endpoint got an event is said of the data that its filter saw.",
		pkg:     "./relay/internal/api", run: "TestABacktestShowsWhatAVersionChanges",
	},
	{
		name: "versions-made-example-is-stored", file: "relay/internal/panel/catalogue.go",
		old: "if versions[i].Example != nil && !versions[i].Made {", new: "if versions[i].Example != nil {",
		promise: "An example that was made of another is not written down.",
		pkg:     "./relay/internal/panel", run: "TestTheCatalogueOfThePanelHasEveryVersion",
	},
	{
		name: "versions-form-chooses-by-itself", file: "relay/internal/panel/form.go",
		old: "		f.Versions = append(f.Versions, f.PayloadVersion)\n", new: "",
		promise: "A form does not pin another version by itself.",
		pkg:     "./relay/internal/panel", run: "TestTheFormPinsAVersion",
	},
	{
		name: "versions-plan-without-pins", file: "relay/internal/plan/pins.go",
		old: "if err == nil && !ledger.Pin(&e, row, versions) {", new: "if err == nil && !ledger.Pin(&e, row, versions) && e.Version == \"\" {",
		promise: "The plan names versions that endpoints of the API pin and the configuration does not have.",
		pkg:     "./cmd/tailpost", run: "TestScript/plan",
	},
	{
		name: "versions-doctor-without-versions", file: "relay/internal/doctor/doctor.go",
		old: "		{\"versions\", one(examineVersions)},\n", new: "",
		promise: "The doctor names versions that are gone.",
		pkg:     "./relay/internal/doctor", run: "TestWhatIsBrokenIsNamedWithWhatMendsIt/a_version_that_is_gone",
	},
}
