package main

// ninthMutants are of a sample that was chosen by reading the code, and of what was mended after it.
var ninthMutants = []mutant{
	{
		name: "challenge-forgets-since-when-it-fails", file: "relay/internal/dispatch/lane.go",
		old: "c.EndpointID, c.FailingSince = l.id, l.health.failing.since", new: "c.EndpointID = l.id",
		promise: "A challenge leaves alone since when its endpoint fails, which disable_after counts from.",
		pkg:     "./relay/internal/dispatch", run: "TestProof_leavesAlone",
	},
	{
		name: "delivered-is-a-failure-where-the-answer-broke", file: "relay/internal/dispatch/send.go",
		old: "res.Attempt.Error != \"\" && !res.Delivered", new: "res.Attempt.Error != \"\"",
		promise: "What the receiver has taken is delivered, also where the rest of its answer could not be read.",
		pkg:     "./relay/internal/dispatch", run: "TestDelivered_although",
	},
	{
		name: "lane-has-no-place-in-the-table-of-routes", file: "relay/internal/dispatch/routing.go",
		old: "\t\t\tr.lanes[at].index = at\n", new: "",
		promise: "A delivery from the table has the body that its own endpoint's expression makes.",
		pkg:     "./relay/internal/dispatch", run: "TestRetry_fromTheTable",
	},
	{
		name: "pieces-of-a-file-begin-at-its-first-line", file: "config/parse.go",
		old: "\t\tstart.Line += bytes.Count(rest[:size], []byte(\"\\n\"))\n", new: "",
		promise: "A diagnostic of a long file names the line.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-that-do-not-parse", file: "config/parse.go",
		old: "if marked || len(diags) > 0 || !merge(body, piece) {", new: "if marked || len(diags) > 100_000 || !merge(body, piece) {",
		promise: "A long file is read as if it were parsed at once, also where a piece ends within a comment.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-have-an-attribute-each", file: "config/parse.go",
		old: "\t\t\treturn false\n\t\t}\n\t\tbody.Attributes[name]", new: "\t\t\tcontinue\n\t\t}\n\t\tbody.Attributes[name]",
		promise: "An attribute that a long file has twice is refused.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-begin-with-a-mark", file: "config/parse.go",
		old: "marked := start.Byte > 0 &&", new: "marked := start.Byte > 1<<40 &&",
		promise: "A byte order mark within a file is refused.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "a-long-file-is-one-piece", file: "config/parse.go",
		old: "if len(text) <= pieceSize {", new: "if len(text) <= pieceSize<<10 {",
		promise: "A long file is parsed in pieces, whose tokens are not held all at once.",
		pkg:     "./config", run: "TestParseBody",
	},
}
