package panel

import (
	"net/http"

	"github.com/tailpost/tailpost/config"
)

// routes lists the whole surface of the panel.
func (s *site) routes() {
	s.handle(http.MethodGet, "login", s.showLogin)
	s.handle(http.MethodPost, "login", s.doLogin)
	s.handle(http.MethodGet, "assets/", s.assets.serve)
	s.act("logout", (*visit).logout)
	s.act("theme", (*visit).setTheme)
	s.open("help", showHelp)
	s.open("find", findAnything)

	s.open("{$}", showOverview)
	s.endpointRoutes()
	s.open("events", listEvents)
	s.open("events/{id}", showEvent)

	s.deliveryRoutes()
	s.otherRoutes()
	s.open("", showNothing)
}

// endpointRoutes are those of endpoints and of what was sent to them, which both sites have.
func (s *site) endpointRoutes() {
	s.open("endpoints", listEndpoints)
	s.open("endpoints/new", needing(config.ScopeEndpointsWrite, newEndpoint))
	s.act("endpoints/new", createEndpoint)
	s.act("endpoints/check", checkExpressions)
	s.open("endpoints/{id}", showEndpoint)
	s.open("endpoints/{id}/log", showEndpointLog)
	s.open("endpoints/{id}/edit", needing(config.ScopeEndpointsWrite, editEndpoint))
	s.act("endpoints/{id}/edit", saveEndpoint)
	s.open("endpoints/{id}/test", needing(config.ScopeEndpointsWrite, testForm))
	s.act("endpoints/{id}/test", sendTest)
	s.act("endpoints/{id}/verify", verifyEndpoint)
	s.open("endpoints/{id}/confirm/{act}", confirmEndpoint)
	s.act("endpoints/{id}/confirm/{act}", actOnEndpoint)

	s.open("log", showLog)
	s.open("log/stream", streamLog)
	s.open("attempt", showAttempt)
}

// deliveryRoutes are those of what is not delivered, and of what sends it again.
func (s *site) deliveryRoutes() {
	s.open("undelivered", listUndelivered)
	s.open("undelivered/confirm", needing(config.ScopeDeliveriesWrite, showConfirm))
	s.act("undelivered/confirm", confirmDeliveries)
	s.act("undelivered/act", actOnDeliveries)
	s.open("replays", listReplays)
	s.open("replays/new", needing(config.ScopeDeliveriesWrite, newReplay))
	s.act("replays/new", createReplay)
	s.open("replays/{id}", showReplay)
	s.act("replays/{id}/cancel", cancelReplay)
	s.open("resends", listResends)
	s.open("resends/{id}", showResend)
	s.act("resends/{id}/cancel", cancelResend)
}

// otherRoutes are those of what is set up once.
func (s *site) otherRoutes() {
	s.open("catalogue", showCatalogue)
	s.open("catalogue/edit", needing(config.ScopeEndpointsWrite, editType))
	s.act("catalogue/edit", saveType)
	s.open("catalogue/types/{name}", showEventType)
	s.act("catalogue/types/{name}/delete", deleteType)
	s.open("keys", listKeys)
	s.act("keys", createKey)
	s.open("keys/{id}/delete", needing(config.ScopeKeysWrite, confirmKey))
	s.act("keys/{id}/delete", deleteKey)
	s.open("audit", showAudit)
	s.open("portal-links", listPortalLinks)
	s.act("portal-links", createPortalLink)
	s.act("portal-links/{id}/delete", deletePortalLink)
	s.open("relay", showRelay)
}

// portalRoutes lists the whole surface of the customer portal: the endpoints of a tenant, its log
// and the catalogue, by the handlers of the panel.
func (s *site) portalRoutes() {
	s.handle(http.MethodGet, "open/{token}", s.openLink)
	s.handle(http.MethodGet, "over", s.showOver)
	s.handle(http.MethodGet, "assets/", s.assets.serve)
	s.handle(http.MethodGet, "theme.css", s.serveTheme)
	s.handle(http.MethodGet, "logo", s.serveLogo)
	s.act("logout", (*visit).logout)
	s.act("theme", (*visit).setTheme)
	s.open("help", showHelp)

	s.open("{$}", toPlace)
	s.endpointRoutes()
	s.act("attempt/resend", resendOne)
	s.open("catalogue", showCatalogue)
	s.open("catalogue/types/{name}", showEventType)
	s.open("", showNothing)
}
