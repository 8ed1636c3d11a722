package main

// fanoutConfigMutants break what the block of a fan-out promises.
var fanoutConfigMutants = []mutant{
	{
		name: "fanout-config-reload-compares-pointers", file: "relay/reload.go",
		old:     "if !old.Fanout.Equal(&c.Fanout) {",
		new:     "if old.Fanout != c.Fanout {",
		promise: "A reload that says the same of the fan-out asks for no restart.",
		pkg:     "./relay", run: "TestAReloadLeavesTheFanoutToARestart",
	},
	{
		name: "fanout-config-upgrade-looks-like-a-change", file: "config/fanout.go",
		old:     "	if *f == (Fanout{}) {\n		return \"\" //",
		new:     "	if f == nil {\n		return \"\" //",
		promise: "To plan, a configuration without a fan-out says what a release said that knew none.",
		pkg:     "./relay/internal/plan", run: "TestAFanoutIsABlockThatIsCompared",
	},
	{
		name: "fanout-config-only-the-first-server-logs-in", file: "config/fanout.go",
		old:     "slices.ContainsFunc(servers, func(s natsServer) bool { return s.login })",
		new:     "len(servers) > 0 && servers[0].login",
		promise: "A second way to log in is refused, in whichever server's URL it stands.",
		pkg:     "./config", run: "TestAFanoutLogsInOneWay",
	},
}
