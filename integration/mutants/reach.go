package main

// reachMutants break what endpoints may ask for beyond the common request: methods, statuses, words
// of their receivers.
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
		old: `it.reason == outbox.ReasonInvalid, it.reason == outbox.ReasonUnaddressable, it.reason == outbox.ReasonRejected, barred:`, new: `it.reason == outbox.ReasonInvalid, it.reason == outbox.ReasonUnaddressable, barred:`,
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
	{
		name: "reach-gzip-untold", file: "relay/internal/webhook/gzip.go",
		old: "c.body, c.packed = packed.Bytes(), true", new: "c.body = packed.Bytes()",
		promise: "A compressed body says that it is.",
		pkg:     "./relay/internal/webhook", run: "TestGzip",
	},
	{
		name: "reach-gzip-that-is-larger", file: "relay/internal/webhook/gzip.go",
		old: "if packed.Len() < len(c.body) {", new: "if true {",
		promise: "What compression makes larger goes out as it is.",
		pkg:     "./relay/internal/webhook", run: "TestGzip",
	},
	{
		name: "reach-form-cut-short", file: "relay/internal/webhook/form.go",
		old: "	if f.size > mostForm {\n		return content{}", new: "	if false {\n		return content{}",
		promise: "A form that is too large is not sent without its end.",
		pkg:     "./relay/internal/webhook", run: "TestFormOfWhatIsNone",
	},
	{
		name: "reach-form-of-floats", file: "relay/internal/webhook/form.go",
		old: "	decoder.UseNumber()\n", new: "",
		promise: "Numbers keep their digits in a form.",
		pkg:     "./relay/internal/webhook", run: "TestForm$",
	},
	{
		name: "reach-http-version-ignored", file: "relay/internal/webhook/origin.go",
		old: "\tcase config.HTTP1:\n\t\to.wantHTTP1()\n", new: "\tcase config.HTTP1:\n",
		promise: "An endpoint that insists on HTTP/1.1 is sent by HTTP/1.1.",
		pkg:     "./relay/internal/webhook", run: "TestHTTPVersion",
	},
	{
		name: "reach-http2-falls-back", file: "relay/internal/webhook/origin.go",
		old: "\tcase o.only2:\n", new: "\tcase false:\n",
		promise: "An endpoint that insists on HTTP/2 is sent by nothing else.",
		pkg:     "./relay/internal/webhook", run: "TestHTTPVersion",
	},
	{
		name: "reach-proxy-resolves-addresses-unjudged", file: "relay/internal/egress/dial.go",
		old: "if via != nil && d.resolves && !p.Addr.IsValid() {", new: "if via != nil && d.resolves {",
		promise: "An address in a URL is judged also where the proxy looks names up.",
		pkg:     "./relay/internal/webhook", run: "TestProxyResolves",
	},
	{
		name: "reach-proxy-resolves-unasked", file: "relay/internal/egress/dial.go",
		old: "if via != nil && d.resolves && !p.Addr.IsValid() {", new: "if via != nil && !p.Addr.IsValid() {",
		promise: "The proxy looks names up only where the configuration says so.",
		pkg:     "./relay/internal/webhook", run: "^TestProxy$",
	},
	{
		name: "reach-proxy-407-is-an-answer", file: "relay/internal/webhook/origin.go",
		old: "if o.absolute && x.Answer.Status == http.StatusProxyAuthRequired {", new: "if !o.absolute && x.Answer.Status == http.StatusProxyAuthRequired {",
		promise: "What the egress proxy refuses is never the receiver's answer.",
		pkg:     "./relay/internal/webhook", run: "TestProxyBars",
	},
	{
		name: "reach-proxy-bars-and-the-receiver-pays", file: "relay/internal/webhook/endpoint.go",
		old: "res.Barred = a.StatusCode == 0 && egress.IsBarred(err)", new: "res.Barred = a.StatusCode != 0 && egress.IsBarred(err)",
		promise: "An egress proxy that refuses the relay's password opens no circuit.",
		pkg:     "./relay/internal/webhook", run: "TestProxyBars",
	},
	{
		name: "reach-proxy-rule-taken-for-a-login", file: "relay/internal/egress/proxy.go",
		old: ` && resp.Header.Get("Proxy-Authenticate") != "":`, new: ":",
		promise: "A 407 that asks for no password is a rule about the receiver.",
		pkg:     "./relay/internal/egress", run: "TestTunnel",
	},
	{
		name: "reach-tunnel-of-200-alone", file: "relay/internal/egress/proxy.go",
		old: "resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusMultipleChoices:", new: "resp.StatusCode == http.StatusOK:",
		promise: "Any 2xx to CONNECT is a tunnel.",
		pkg:     "./relay/internal/egress", run: "TestTunnel",
	},
	{
		name: "reach-no-proxy-ignored", file: "relay/internal/egress/dialer.go",
		old: "if d.proxy == nil || d.bypass.Has(p) {", new: "if d.proxy == nil {",
		promise: "What no_proxy names is reached without the proxy.",
		pkg:     "./relay/internal/webhook", run: "TestNoProxy",
	},
	{
		name: "reach-no-proxy-suffix-of-a-label", file: "config/receiver/bypass.go",
		old: `strings.HasSuffix(name, "."+e.name)`, new: `strings.HasSuffix(name, e.name)`,
		promise: "internal.example in no_proxy is not notinternal.example.",
		pkg:     "./config/receiver", run: "TestBypass",
	},
	{
		name: "reach-authorities-in-place-of-others", file: "config/config.go",
		old: "		all = others.Clone()\n", new: "		all = x509.NewCertPool()\n",
		promise: "The authorities of the network are trusted beside the others.",
		pkg:     "./config", run: "TestAuthoritiesOfTheNetwork",
	},
	{
		name: "reach-reload-without-authorities", file: "relay/reload.go",
		old: "s.roots, err = cfg.Network.Roots(s.roots); err != nil", new: "_, err = cfg.Network.Roots(s.roots); err != nil",
		promise: "A new bundle in network.ca is taken at a reload.",
		pkg:     "./relay", run: "TestAReloadTakesNewAuthorities",
	},
	{
		name: "reach-form-forgets-a-field", file: "relay/internal/panel/form.go",
		old: `Method: e.Method, HTTP: e.HTTP,`, new: `Method: e.Method,`,
		promise: "The form shows what the endpoint has, so that saving it changes nothing else.",
		pkg:     "./relay/internal/panel", run: "TestTheFormOfAnEndpointHasEverySettingBothWays",
	},
	{
		name: "reach-missing-token-blamed", file: "relay/internal/dispatch/send.go",
		old: `it.reason == outbox.ReasonRejected, barred:`, new: `it.reason == outbox.ReasonRejected:`,
		promise: "An authorization server that issues no token says nothing of the receiver.",
		pkg:     "./relay/internal/dispatch", run: "TestAMissingToken",
	},
	{
		name: "reach-token-outlives-its-refusal", file: "relay/internal/webhook/endpoint.go",
		old: "\t\te.tokens.Refused(x.token)\n", new: "",
		promise: "A token that a receiver no longer takes is replaced.",
		pkg:     "./relay/internal/webhook", run: "TestOAuth2_tokenThatIsRefused",
	},
	{
		name: "reach-token-used-to-its-end", file: "relay/internal/token/token.go",
		old: `now.Before(s.kept.Expiry.Add(-early))`, new: `true`,
		promise: "A token is replaced before it ends.",
		pkg:     "./relay/internal/webhook", run: "TestOAuth2_tokensEnd",
	},
	{
		name: "reach-tokens-fetched-all-at-once", file: "relay/internal/token/token.go",
		old: "\t// Whoever had the turn before may have brought it.\n\tif value, err := s.known(time.Now()); value != \"\" || err != nil {\n\t\treturn value, false, err\n\t}\n", new: "",
		promise: "Many requests that need a token share one fetch.",
		pkg:     "./relay/internal/webhook", run: "TestOAuth2$",
	},
	{
		name: "reach-authorization-server-stormed", file: "relay/internal/token/token.go",
		old: `if s.failed != nil && now.Before(s.retryAt) {`, new: `if s.failed != nil && now.After(s.retryAt) {`,
		promise: "An authorization server in trouble is asked once in a while, not by every delivery.",
		pkg:     "./relay/internal/webhook", run: "TestOAuth2_noToken",
	},
	{
		name: "reach-redirect-gets-the-password", file: "relay/internal/webhook/endpoint.go",
		old: `head := e.hopHead(o, requestURI(at), own, e.first.place.SameReceiver(p))`, new: `head := e.hopHead(o, requestURI(at), own, true)`,
		promise: "A redirect to another host gets none of the endpoint's headers.",
		pkg:     "./relay/internal/webhook", run: "TestStaticAuthorization",
	},
	{
		name: "reach-sessions-shared", file: "relay/internal/webhook/client.go",
		old: "\tt.ClientSessionCache = tls.NewLRUClientSessionCache(maxOrigins)\n", new: "",
		promise: "An endpoint's connections go on with no session that was begun with another certificate.",
		pkg:     "./relay/internal/webhook", run: "TestClientCertificates",
	},
	{
		name: "reach-secret-inherited-by-another-server", file: "relay/internal/api/auth_settings.go",
		old: `return is.Kind != config.AuthOAuth2 || sameReceiver(was.TokenURL, is.TokenURL)`, new: `return true`,
		promise: "An authorization server of another host does not inherit a client's secret.",
		pkg:     "./relay/internal/api", run: "TestAuthOfAnEndpoint",
	},
	{
		name: "reach-password-in-the-policy", file: "relay/internal/ledger/endpoint.go",
		old: `Auth: openAuth(&e.Auth)`, new: `Auth: wholeAuth(&e.Auth)`,
		promise: "The database does not tell what shows a receiver who sends.",
		pkg:     "./relay/internal/ledger", run: "TestEncodedEndpoints",
	},
	{
		name: "reach-assertion-with-an-id-again", file: "relay/internal/token/assertion.go",
		old: `"jti": rand.Text()`, new: `"jti": s.issuer + rand.Text()[:0]`,
		promise: "An assertion has an id of its own, by which a server knows one that it was shown before.",
		pkg:     "./relay/internal/webhook", run: "TestAssertions$",
	},
	{
		name: "reach-assertion-with-an-empty-password", file: "relay/internal/token/token.go",
		old: `if auth.Secret.IsZero() {`, new: `if !auth.Secret.IsZero() {`,
		promise: "A client that signs sends no password, not an empty one either.",
		pkg:     "./relay/internal/webhook", run: "TestAssertions",
	},
	{
		name: "reach-assertion-key-in-the-policy", file: "relay/internal/ledger/auth.go",
		old: `Use: as.Use, KeyID: as.KeyID, Algorithm: as.Algorithm, Issuer: as.Issuer, Subject: as.Subject, Audience: as.Audience,
		}
	}
	return j`, new: `Use: as.Use, Key: as.Key.Reveal(), KeyID: as.KeyID, Algorithm: as.Algorithm, Issuer: as.Issuer, Subject: as.Subject, Audience: as.Audience,
		}
	}
	return j`,
		promise: "The database does not tell the key that signs assertions.",
		pkg:     "./relay/internal/api", run: "TestAssertionOfAnEndpoint",
	},
	{
		name: "reach-assertion-of-a-small-key", file: "config/assertion.go",
		old: `bits < minRSABits`, new: `bits < minRSABits/2`,
		promise: "An RSA key that is too small is refused when it is configured.",
		pkg:     "./config", run: "TestKeysThatDoNotSign",
	},
	{
		name: "reach-assertion-secret-stays-behind", file: "relay/internal/panel/identity.go",
		old: `if i.AssertionUse != "client" {`, new: `if true {`,
		promise: "What the form has no place for is not sent with an assertion.",
		pkg:     "./integration/panel", run: "TestTheFormHasAnAssertion",
	},
	{
		name: "reach-recent-times-in-utc", file: "relay/internal/query/event.go",
		old: `			decoder = decoder.In(table.Zone())`, new: `			_ = table`,
		promise: "A back-test reads times without a zone as the stream does.",
		pkg:     "./relay/internal/query", run: "TestRecentEventsHaveTheTimesOfTheStream",
	},
	{
		name: "reach-reader-without-a-column", file: "outbox/schema/migrations/roles.sql.tmpl",
		old: `verified_at, verify_error, `, new: `verified_at, `,
		promise: "People may read every column that is no secret.",
		pkg:     "./outbox/schema", run: "TestTheReaderReadsEveryColumn",
	},
	{
		name: "reach-reader-reads-hashes", file: "outbox/schema/migrations/roles.sql.tmpl",
		old: `GRANT SELECT (id, name, source, prefix, scopes, tenant, created_by, created_at, last_used_at) ON tailpost.api_key`, new: `GRANT SELECT ON tailpost.api_key`,
		promise: "People may not read what is secret.",
		pkg:     "./outbox/schema", run: "TestTheReaderReadsEveryColumn",
	},
	{
		name: "reach-visitor-told-of-verify", file: "relay/internal/api/verify.go",
		old: "	set.guarded = wants != config.VerifyNone\n", new: "",
		promise: "A visitor of the portal is told at what they wrote what stands in the way of a verification.",
		pkg:     "./relay/internal/api", run: "TestWhatVisitorsMakeHasToShowThatItWantsEvents",
	},
}
