package panel

import "net/http"

// routes lists the whole surface of the panel.
func (s *site) routes() {
	s.handle(http.MethodGet, "login", s.showLogin)
	s.handle(http.MethodPost, "login", s.doLogin)
	s.handle(http.MethodGet, "assets/", s.serveAsset)
	s.act("logout", (*visit).logout)
	s.act("theme", (*visit).setTheme)
	s.open("help", (*visit).help)
	s.open("find", (*visit).find)

	s.open("{$}", (*visit).overview)
	s.open("endpoints", (*visit).endpoints)
	s.open("endpoints/new", (*visit).newEndpoint)
	s.act("endpoints/new", (*visit).createEndpoint)
	s.act("endpoints/check", (*visit).checkExpressions)
	s.open("endpoints/{id}", (*visit).endpoint)
	s.open("endpoints/{id}/log", (*visit).endpointLog)
	s.open("endpoints/{id}/edit", (*visit).editEndpoint)
	s.act("endpoints/{id}/edit", (*visit).saveEndpoint)
	s.open("endpoints/{id}/test", (*visit).testForm)
	s.act("endpoints/{id}/test", (*visit).sendTest)
	s.open("endpoints/{id}/confirm/{act}", (*visit).confirmEndpoint)
	s.act("endpoints/{id}/confirm/{act}", (*visit).actOnEndpoint)

	s.open("log", (*visit).log)
	s.open("log/stream", (*visit).stream)
	s.open("attempt", (*visit).attempt)
	s.open("events", (*visit).events)
	s.open("events/{id}", (*visit).event)

	s.deliveryRoutes()
	s.otherRoutes()
	s.open("", (*visit).nothing)
}

// deliveryRoutes are those of what is not delivered, and of what sends it again.
func (s *site) deliveryRoutes() {
	s.open("undelivered", (*visit).undelivered)
	s.act("undelivered/confirm", (*visit).confirmDeliveries)
	s.act("undelivered/act", (*visit).actOnDeliveries)
	s.open("replays", (*visit).replays)
	s.open("replays/new", (*visit).newReplay)
	s.act("replays/new", (*visit).createReplay)
	s.open("replays/{id}", (*visit).replay)
	s.act("replays/{id}/cancel", (*visit).cancelReplay)
	s.open("resends", (*visit).resends)
	s.open("resends/{id}", (*visit).resend)
	s.act("resends/{id}/cancel", (*visit).cancelResend)
}

// otherRoutes are those of what is set up once.
func (s *site) otherRoutes() {
	s.open("catalogue", (*visit).catalogue)
	s.open("catalogue/edit", (*visit).editType)
	s.act("catalogue/edit", (*visit).saveType)
	s.open("catalogue/types/{name}", (*visit).eventType)
	s.act("catalogue/types/{name}/delete", (*visit).deleteType)
	s.open("keys", (*visit).keys)
	s.act("keys", (*visit).createKey)
	s.open("keys/{id}/delete", (*visit).confirmKey)
	s.act("keys/{id}/delete", (*visit).deleteKey)
	s.open("audit", (*visit).audit)
	s.open("portal-links", (*visit).portalLinks)
	s.act("portal-links", (*visit).createPortalLink)
	s.act("portal-links/{id}/delete", (*visit).deletePortalLink)
	s.open("relay", (*visit).relay)
}

// portalRoutes lists the whole surface of the customer portal: the endpoints of a tenant, its log
// and the catalogue, by the handlers of the panel.
func (s *site) portalRoutes() {
	s.handle(http.MethodGet, "open/{token}", s.openLink)
	s.handle(http.MethodGet, "over", s.showOver)
	s.handle(http.MethodGet, "assets/", s.serveAsset)
	s.handle(http.MethodGet, "theme.css", s.serveTheme)
	s.handle(http.MethodGet, "logo", s.serveLogo)
	s.act("logout", (*visit).logout)
	s.act("theme", (*visit).setTheme)
	s.open("help", (*visit).help)

	s.open("{$}", (*visit).toEndpoints)
	s.open("endpoints", (*visit).endpoints)
	s.open("endpoints/new", (*visit).newEndpoint)
	s.act("endpoints/new", (*visit).createEndpoint)
	s.act("endpoints/check", (*visit).checkExpressions)
	s.open("endpoints/{id}", (*visit).endpoint)
	s.open("endpoints/{id}/log", (*visit).endpointLog)
	s.open("endpoints/{id}/edit", (*visit).editEndpoint)
	s.act("endpoints/{id}/edit", (*visit).saveEndpoint)
	s.open("endpoints/{id}/test", (*visit).testForm)
	s.act("endpoints/{id}/test", (*visit).sendTest)
	s.open("endpoints/{id}/confirm/{act}", (*visit).confirmEndpoint)
	s.act("endpoints/{id}/confirm/{act}", (*visit).actOnEndpoint)

	s.open("log", (*visit).log)
	s.open("log/stream", (*visit).stream)
	s.open("attempt", (*visit).attempt)
	s.act("attempt/resend", (*visit).resendOne)
	s.open("catalogue", (*visit).catalogue)
	s.open("catalogue/types/{name}", (*visit).eventType)
	s.open("", (*visit).nothing)
}
