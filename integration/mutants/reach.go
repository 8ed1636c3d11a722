package main

// reachMutants break what endpoints may ask for beyond the common request: methods, statuses, words of
// their receivers.
var reachMutants = []mutant{
	{
		name: "reach-word-on-success-ignored", file: "relay/internal/retry/decide.go",
		old: `return Decision{Outcome: outbox.Delivered, Disable: disable}`, new: `return Decision{Outcome: outbox.Delivered}`,
		promise: "A receiver that takes an event and asks for no more gets no more.",
		pkg:     "./relay/internal/dispatch", run: "TestTheReceiversWord",
	},
	{
		name: "reach-abort-ignored", file: "relay/internal/retry/decide.go",
		old: `(meaning == config.MeansRefusal || r.Word == WordAbort):`, new: `meaning == config.MeansRefusal:`,
		promise: "A receiver's abort-message ends the delivery that it answers.",
		pkg:     "./relay/internal/retry", run: "TestDecideByTheReceiversWord",
	},
	{
		name: "reach-class-before-the-status", file: "config/answer.go",
		old: "\tcase refuses:\n\t\treturn MeansRefusal\n\tcase classSucceeds, len", new: "\tcase refuses && !classSucceeds:\n\t\treturn MeansRefusal\n\tcase classSucceeds, len",
		promise: "A single status counts before its class.",
		pkg:     "./relay/internal/retry", run: "TestDecideByTheEndpointsOwnStatuses",
	},
	{
		name: "reach-refusal-is-a-failure", file: "relay/internal/dispatch/send.go",
		old: `case it.reason == outbox.ReasonInvalid, it.reason == outbox.ReasonRejected:`, new: `case it.reason == outbox.ReasonInvalid:`,
		promise: "A receiver that refuses an event for good is well: no circuit opens for it.",
		pkg:     "./relay/internal/dispatch", run: "TestARefusal",
	},
	{
		name: "reach-word-unread-on-http2", file: "relay/internal/webhook/h2.go",
		old: "\tx.Answer.Word = a.Word\n", new: "",
		promise: "What a receiver says counts on HTTP/2 too.",
		pkg:     "./relay/internal/webhook", run: "TestTheReceiversWord",
	},
	{
		name: "reach-reset-takes-the-statuses", file: "relay/internal/api/settings.go",
		old: `e.Retry.Schedule = nil`, new: `e.Retry = config.Retry{}`,
		promise: "A setting that is set to null takes no other setting with it.",
		pkg:     "./relay/internal/api", run: "TestStatusesOfAnEndpoint",
	},
}
