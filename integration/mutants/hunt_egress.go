package main

// huntEgressMutants are what a stranger found who took away what stands between the relay and its
// receivers.
var huntEgressMutants = []mutant{
	{
		name: "hunt-proxy-down-blames-receivers", file: "relay/internal/egress/error.go",
		old:     "\treturn is && failed.During == Reaching\n",
		new:     "\treturn is && failed.During == \"\"\n",
		promise: "What keeps the relay from its egress proxy says nothing about a receiver.",
		pkg:     "./relay/internal/egress", run: "^TestWhatFailsBeforeTheProxyIsTheProxys$",
	},
	{
		name: "hunt-proxy-hangs-up-blames-receivers", file: "relay/internal/egress/proxy.go",
		old:     "\tcase inNet, isCut(err):\n\t\treturn &Error{Reaching, err}\n",
		new:     "\tcase inNet, isCut(err):\n\t\treturn err\n",
		promise: "A proxy that ends a connection without an answer is at fault itself.",
		pkg:     "./relay/internal/egress", run: "^TestWhatFailsBeforeTheProxyIsTheProxys$",
	},
	{
		name: "hunt-silent-proxy-excuses-receivers", file: "relay/internal/egress/proxy.go",
		old:     "\tcase refused, ctx.Err() != nil:\n",
		new:     "\tcase refused:\n",
		promise: "A proxy that took the request and is silent may wait for the receiver.",
		pkg:     "./relay/internal/egress", run: "^TestASilentProxyMayWaitForTheReceiver$",
	},
	{
		name: "hunt-proxy-in-the-receivers-words", file: "relay/internal/webhook/failure.go",
		old:     "\tcase egress.Unreached(err) != \"\":\n\t\treturn egress.Unreached(err)\n",
		new:     "",
		promise: "An error about the egress proxy names the proxy and advises nothing of the receiver.",
		pkg:     "./relay/internal/webhook", run: "^TestWhatIsTheProxysIsNotSaidOfTheReceiver$",
	},
	{
		name: "hunt-proxy-in-the-token-endpoints-words", file: "relay/internal/token/token.go",
		old:     "\tcase egress.Unreached(err) != \"\" && !egress.IsLocal(err):\n\t\treturn egress.Unreached(err)\n",
		new:     "",
		promise: "An error about the egress proxy is not said of the token endpoint.",
		pkg:     "./relay/internal/webhook", run: "^TestWhatIsTheProxysIsNotSaidOfTheReceiver$",
	},
	{
		name: "hunt-token-of-an-odd-life-refused", file: "relay/internal/token/answer.go",
		old:     "\t\tbody, err = tidy(resp.Header.Get(\"Content-Type\"), resp.StatusCode, body)\n",
		new:     "\t\t_, err = tidy(resp.Header.Get(\"Content-Type\"), resp.StatusCode, body)\n",
		promise: "A token is used, and kept, however its life is written.",
		pkg:     "./relay/internal/webhook", run: "^TestOAuth2_aLifeThatIsWrittenOtherwise$",
	},
	{
		name: "hunt-token-life-rounded-up", file: "relay/internal/token/answer.go",
		old:     "math.Floor(f)",
		new:     "math.Ceil(f)",
		promise: "The life of a token is rounded down.",
		pkg:     "./relay/internal/token", run: "^TestAnyLifeOfATokenIsTaken$",
	},
	{
		name: "hunt-token-answer-without-a-word", file: "relay/internal/token/token.go",
		old:     "\t\treturn own.text\n",
		new:     "\t\treturn \"the token endpoint gave no token\"\n",
		promise: "What an answer without a token is, an attempt says: empty, too large, no JSON, or without an access_token.",
		pkg:     "./relay/internal/webhook", run: "^TestOAuth2_noToken$",
	},
	{
		name: "hunt-redirect-advises-to-allow", file: "relay/internal/webhook/endpoint.go",
		old:     "\t\t\treturn redirected(status, err)\n",
		new:     "\t\t\treturn err\n",
		promise: "That a redirect leads to an address that is not allowed names the redirect, and advises not to allow it.",
		pkg:     "./relay/internal/webhook", run: "^TestRedirectNotFollowed$",
	},
	{
		name: "hunt-api-certificate-breaks-in-silence", file: "relay/internal/api/tls.go",
		old:     "\tdefault:\n\t\tp.tell(err, now)\n",
		new:     "",
		promise: "The log says what is wrong with the files of the API's certificate.",
		pkg:     "./relay/internal/api", run: "^TestABrokenRenewalIsInTheLog$",
	},
	{
		name: "hunt-api-certificate-complained-of-at-each-look", file: "relay/internal/api/tls.go",
		old:     "p.wrong == err.Error() && now.Sub(p.told) < tellEvery",
		new:     "p.wrong == err.Error() && now.Sub(p.told) < lookEvery",
		promise: "It says so once and each hour, not at each request.",
		pkg:     "./relay/internal/api", run: "^TestABrokenRenewalIsInTheLog$",
	},
	{
		name: "hunt-check-ignores-the-api-certificate", file: "cmd/tailpost/check.go",
		old:     "cfg, diagnostics := a.readConfig(config.Options{Listens: true})",
		new:     "cfg, diagnostics := a.readConfig(config.Options{})",
		promise: "tailpost check looks at the files of the API's certificate.",
		pkg:     "./cmd/tailpost", run: "^TestScripts$/^check$",
	},
	{
		name: "hunt-everybody-reads-the-api-key", file: "config/api.go",
		old:     "\t\tif d.opts.Listens {\n\t\t\tcheckPair(inner, a.TLS)\n\t\t}\n",
		new:     "\t\tcheckPair(inner, a.TLS)\n",
		promise: "Commands that do not listen run where the API's key is not theirs to read.",
		pkg:     "./config", run: "^TestOnlyWhoListensReadsTheKeyOfTheAPI$",
	},
}
