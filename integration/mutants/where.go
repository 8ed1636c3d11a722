package main

// whereMutants break what decides where a request goes: extra columns.
var whereMutants = []mutant{
	{
		name: "where-extra-not-parked", file: "relay/internal/ledger/encode.go",
		old: "w.bytesOrNull(d.Event.Extra)", new: "w.null()",
		promise: "A delivery that waits keeps the extra columns of its event.",
		pkg:     "./relay/internal/ledger", run: "TestRecord_keepsEveryFieldOfAParkedEvent",
	},
	{
		name: "where-extra-not-healed", file: "relay/internal/ledger/audit.go",
		old: `"extra": []byte(e.Extra),`, new: `"extra": []byte(nil),`,
		promise: "What an audit or a replay queues has the extra columns of its event.",
		pkg:     "./relay/internal/ledger", run: "TestQueue_leavesAloneWhatWaitsAlready",
	},
	{
		name: "where-extra-not-replayed", file: "relay/internal/ledger/replay.go",
		old: "@lsn::text::pg_lsn, @seq, 'replay', @now, @now, @deliver_at, @expires_at, @extra", new: "@lsn::text::pg_lsn, @seq, 'replay', @now, @now, @deliver_at, @expires_at, NULL",
		promise: "A replay has the extra columns of its events.",
		pkg:     "./integration", run: "TestExtraColumns",
	},
	{
		name: "where-extra-not-resent", file: "relay/internal/query/recorded.go",
		old: `"extra": []byte(ev.Extra),`, new: `"extra": []byte(nil),`,
		promise: "A resend of what was delivered has the extra columns of its event.",
		pkg:     "./relay/internal/api", run: "TestExtraColumns",
	},
	{
		name: "where-extra-number-is-a-text", file: "outbox/extra.go",
		old: "pgtype.NumericOID, pgtype.Float4OID", new: "pgtype.Float4OID",
		promise: "A number in an extra column is a number in expressions.",
		pkg:     "./outbox", run: "TestDecode_extraColumns",
	},
	{
		name: "where-extra-unread-in-the-table", file: "outbox/mapping.go",
		old: "for _, name := range m.extraNames() {\n\t\tif column := m.Extra[name]; column", new: "for _, name := range m.extraNames()[:0] {\n\t\tif column := m.Extra[name]; column",
		promise: "What is read from the table has the extra columns.",
		pkg:     "./integration", run: "TestExtraColumns",
	},
	{
		name: "where-extra-generated-column", file: "outbox/schema/table.go",
		old: `fields = append(fields, named{"extra." + name, m.Extra[name]})`, new: `_ = append(fields, named{"extra." + name, m.Extra[name]})`,
		promise: "A generated column, which the stream leaves out, cannot be an extra one.",
		pkg:     "./outbox/schema", run: "TestCheckTable",
	},
	{
		name: "where-extra-nobody-knows", file: "config/validate.go",
		old: "c.extras(&c.config.Endpoints[i])", new: "_ = c.extras",
		promise: "An expression that names an extra column which is not there is refused, with what there is.",
		pkg:     "./config", run: "TestExtraColumnsOfExpressions",
	},
	{
		name: "where-extra-nobody-knows-in-the-api", file: "relay/internal/api/settings.go",
		old: "append(config.ValidateEndpoint(s.e, current.TenantNetwork(), current.Versions), config.CheckExtras(s.e, current.Outbox)...)", new: "config.ValidateEndpoint(s.e, current.TenantNetwork(), current.Versions)",
		promise: "The API refuses what the configuration refuses.",
		pkg:     "./relay/internal/api", run: "TestExtraColumns",
	},
	{
		name: "where-extra-without-payloads-read", file: "relay/internal/api/event.go",
		old: `shown.Headers, shown.Extra, shown.ExtraText, shown.PayloadHidden = nil, nil, "", true`, new: `shown.Headers, shown.PayloadHidden = nil, true // but not what is extra`,
		promise: "Extra columns are shown to keys that may read payloads.",
		pkg:     "./relay/internal/api", run: "TestExtraColumns",
	},
	{
		name: "where-extra-of-an-emitted-event", file: "outbox/emit.go",
		old: "b.Write(e.Extra)", new: `b.WriteString("{}")`,
		promise: "An event in a message has its extra values.",
		pkg:     "./outbox", run: "TestEmitReachesTheStream",
	},
}
