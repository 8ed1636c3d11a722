package main

// freshSeventhMutants were chosen by somebody who had read neither the tests nor this list: no test
// noticed them.
var freshSeventhMutants = []mutant{
	{
		name: "seventh-file-with-the-half-of-a-line-break", file: "config/environment.go",
		old:     `strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")`,
		new:     `strings.TrimSuffix(string(text), "\n")`,
		promise: "A file's last line break is left out, of either kind.",
		pkg:     "./config", run: "^TestAFileIsReadWithoutItsLastLineBreak$",
	},
	{
		name: "seventh-gate-keeps-the-place-of-who-passed", file: "relay/internal/dispatch/gate.go",
		old:     "\t\tl.admitted = false\n\t\tg.reserved--\n\tcase l.gated:",
		new:     "\t\tl.admitted = false\n\tcase l.gated:",
		promise: "A place at the gate is free again once it was used.",
		pkg:     "./relay/internal/dispatch", run: "^TestGate_anAdmissionIsUsedOnce$",
	},
	{
		name: "seventh-reload-keeps-who-resolves", file: "relay/reload.go",
		old:     "a.ProxyResolves == b.ProxyResolves && slices.Equal",
		new:     "slices.Equal",
		promise: "A reload that changes any setting of a network is in effect.",
		pkg:     "./relay", run: "^TestAnotherNetworkIsAnotherWay$",
	},
}
