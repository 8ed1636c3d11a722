package main

// healMutants break what an audit looks at.
var healMutants = []mutant{
	{
		name:    "heal-lease-hides-a-moved-slot",
		file:    "relay/internal/heal/detect.go",
		old:     `{name: "slot ahead within the lease", looks: leased,`,
		new:     `{name: "slot ahead within the lease", looks: func(*Finding) string { return "" },`,
		promise: "A slot that somebody moved after a crash is healed at the start, however little it was moved.",
		pkg:     "./integration",
		run:     "TestASlotThatIsMovedAfterACrash",
	},
	{
		name:    "heal-crash-sweeps-the-table",
		file:    "relay/internal/heal/detect.go",
		old:     `doubt: true, glance: true},`,
		new:     `doubt: true},`,
		promise: "After a plain crash the table is not swept.",
		pkg:     "./relay/internal/heal",
		run:     "TestAfterACrash",
	},
	{
		name:    "heal-glance-counts-as-an-audit",
		file:    "relay/internal/heal/audit.go",
		old:     "if q.glance { // it has not seen",
		new:     "if q.glance && a.audited.IsZero() { // it has not seen",
		promise: "What only the newest rows were looked at for stands for no audit.",
		pkg:     "./relay/internal/heal",
		run:     "TestAfterACrash",
	},
	{
		name:    "heal-glance-without-bound",
		file:    "relay/internal/heal/sweep.go",
		old:     "if ok && blocks <= glanceBlocks {",
		new:     "if ok {",
		promise: "A crash under load costs a bounded look at the table.",
		pkg:     "./relay/internal/heal",
		run:     "TestAfterACrash",
	},
}
