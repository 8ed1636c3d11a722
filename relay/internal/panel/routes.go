package panel

// routes lists the whole surface of the panel.
func (p *Panel) routes() {
	p.mux.HandleFunc("GET "+Root+"login", p.showLogin)
	p.mux.HandleFunc("POST "+Root+"login", p.doLogin)
	p.mux.HandleFunc("GET "+Root+"assets/", p.serveAsset)
	p.act("logout", (*visit).logout)
	p.act("theme", (*visit).setTheme)
	p.open("help", (*visit).help)
	p.open("find", (*visit).find)

	p.open("{$}", (*visit).overview)
	p.open("endpoints", (*visit).endpoints)
	p.open("endpoints/new", (*visit).newEndpoint)
	p.act("endpoints/new", (*visit).createEndpoint)
	p.act("endpoints/check", (*visit).checkExpressions)
	p.open("endpoints/{id}", (*visit).endpoint)
	p.open("endpoints/{id}/log", (*visit).endpointLog)
	p.open("endpoints/{id}/edit", (*visit).editEndpoint)
	p.act("endpoints/{id}/edit", (*visit).saveEndpoint)
	p.open("endpoints/{id}/test", (*visit).testForm)
	p.act("endpoints/{id}/test", (*visit).sendTest)
	p.open("endpoints/{id}/confirm/{act}", (*visit).confirmEndpoint)
	p.act("endpoints/{id}/confirm/{act}", (*visit).actOnEndpoint)

	p.open("log", (*visit).log)
	p.open("log/stream", (*visit).stream)
	p.open("attempt", (*visit).attempt)
	p.open("events", (*visit).events)
	p.open("events/{id}", (*visit).event)

	p.deliveryRoutes()
	p.otherRoutes()
	p.open("", (*visit).nothing)
}

// deliveryRoutes are those of what is not delivered, and of what sends it again.
func (p *Panel) deliveryRoutes() {
	p.open("undelivered", (*visit).undelivered)
	p.act("undelivered/confirm", (*visit).confirmDeliveries)
	p.act("undelivered/act", (*visit).actOnDeliveries)
	p.open("replays", (*visit).replays)
	p.open("replays/new", (*visit).newReplay)
	p.act("replays/new", (*visit).createReplay)
	p.open("replays/{id}", (*visit).replay)
	p.act("replays/{id}/cancel", (*visit).cancelReplay)
	p.open("resends", (*visit).resends)
	p.open("resends/{id}", (*visit).resend)
	p.act("resends/{id}/cancel", (*visit).cancelResend)
}

// otherRoutes are those of what is set up once.
func (p *Panel) otherRoutes() {
	p.open("catalogue", (*visit).catalogue)
	p.open("catalogue/edit", (*visit).editType)
	p.act("catalogue/edit", (*visit).saveType)
	p.open("catalogue/types/{name}", (*visit).eventType)
	p.act("catalogue/types/{name}/delete", (*visit).deleteType)
	p.open("keys", (*visit).keys)
	p.act("keys", (*visit).createKey)
	p.open("keys/{id}/delete", (*visit).confirmKey)
	p.act("keys/{id}/delete", (*visit).deleteKey)
	p.open("audit", (*visit).audit)
	p.open("relay", (*visit).relay)
}
