package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/config"
)

// scopeOf is where an operation says which scope it needs.
const scopeOf = "scope"

// route is an operation of the API.
type route struct {
	id      string // of the operation
	method  string
	path    string
	tag     string
	scope   string // that the caller's key needs; empty: no key either
	summary string
	detail  string
	status  int // of success; 0: 200
	errors  []int
	text    bool // the answer is plain text
	stream  bool // the answer is a stream of server-sent events
	answers []answer
}

// answer is one of several successful answers that an operation may return.
type answer struct {
	status int
	object string
	what   string
}

const (
	streamScope = config.ScopeDeliveriesRead
	resendPath  = "/v1/deliveries/resend"
	counted     = "What a dry run counted."
)

// registerRoutes lists the whole HTTP surface.
func registerRoutes(s *Server) {
	endpointRoutes(s)
	endpointStatusRoutes(s)
	backtestRoutes(s)
	deliveryRoutes(s)
	resendRoutes(s)
	otherRoutes(s)
	portalRoutes(s)
	plainRoutes(s)
}

func endpointRoutes(s *Server) {
	const read, write, tag = config.ScopeEndpointsRead, config.ScopeEndpointsWrite, "Endpoints"
	ask(s, route{
		id: "list-endpoints", method: http.MethodGet, path: "/v1/endpoints", tag: tag, scope: read,
		summary: "List endpoints", detail: "Newest first.",
	}, listEndpoints)
	change(s, route{
		id: "create-endpoint", method: http.MethodPost, path: "/v1/endpoints", tag: tag, scope: write, status: http.StatusCreated,
		summary: "Create an endpoint", errors: []int{http.StatusConflict},
		detail: "The secret is in this answer and never again. The endpoint gets the events that commit after it.",
	}, createEndpoint)
	change(s, route{
		id: "put-endpoint", method: http.MethodPut, path: "/v1/endpoints", tag: tag, scope: write,
		summary: "Make the endpoint of a name what the request says",
		errors:  []int{http.StatusConflict, http.StatusPreconditionFailed},
		answers: []answer{{http.StatusCreated, "Endpoint", "The endpoint is new: its secret is in this answer and never again."}},
		detail:  "For set-up scripts that run more than once. Without an endpoint of the name a new one is made; settings that are left out get their defaults. One that is as the request says is left alone. The secret stays in any case.",
	}, putEndpoint)
	ask(s, route{
		id: "get-endpoint", method: http.MethodGet, path: "/v1/endpoints/{id}", tag: tag, scope: read,
		summary: "Get an endpoint", errors: []int{http.StatusNotFound},
	}, getEndpoint)
	conditional := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	change(s, route{
		id: "update-endpoint", method: http.MethodPatch, path: "/v1/endpoints/{id}", tag: tag, scope: write,
		summary: "Change some settings of an endpoint", errors: conditional,
		detail: "Settings that are left out stay; null brings one back to its default. The secret stays in any case. Headers go when the URL gets another scheme, host or port, unless they are given again: their values are for who was there.",
	}, updateEndpoint)
	change(s, route{
		id: "replace-endpoint", method: http.MethodPut, path: "/v1/endpoints/{id}", tag: tag, scope: write,
		summary: "Replace the settings of an endpoint", errors: conditional,
		detail: "Settings that are left out get their defaults. Secret, tenant and status stay.",
	}, replaceEndpoint)
	change(s, route{
		id: "delete-endpoint", method: http.MethodDelete, path: "/v1/endpoints/{id}", tag: tag, scope: write,
		summary: "Delete an endpoint", errors: conditional,
		detail: "What is still undelivered to it is discarded; its attempts stay on record.",
	}, deleteEndpoint)
	state := []int{http.StatusNotFound, http.StatusConflict}
	change(s, route{
		id: "rotate-secret", method: http.MethodPost, path: "/v1/endpoints/{id}/rotate-secret", tag: tag, scope: config.ScopeSecretsWrite,
		summary: "Give an endpoint a new secret", errors: conditional,
		detail: "The new secret is in this answer and never again. The old one signs too until the grace period is over; where the scheme of the endpoint has room for one signature, the old one signs alone until then, and the new one from then on.",
	}, rotateSecret)
	ask(s, route{
		id: "test-endpoint", method: http.MethodPost, path: "/v1/endpoints/{id}/test", tag: tag, scope: write,
		summary: "Send a test event to an endpoint", errors: state,
		detail: "One signed request, whatever the endpoint's status and subscriptions; its attempt is recorded and is the answer.",
	}, testEndpoint)
	ask(s, route{
		id: "verify-endpoint", method: http.MethodPost, path: "/v1/endpoints/{id}/verify", tag: tag, scope: write,
		summary: "Ask an endpoint whether it wants events", errors: state,
		detail: "One request, as the endpoint's verify says, now and not only when the relay asks again. Once it passes, what waited for that goes out.",
	}, verifyEndpoint)
	ask(s, route{
		id: "get-endpoint-stats", method: http.MethodGet, path: "/v1/endpoints/{id}/stats", tag: tag, scope: read,
		summary: "Count an endpoint's deliveries", errors: []int{http.StatusNotFound},
		detail: "Exact, from counters that are kept by the hour: the last 24h begin with the first whole hour within them, and so do 7d and 30d.",
	}, getEndpointStats)
	ask(s, route{
		id: "list-endpoint-attempts", method: http.MethodGet, path: "/v1/endpoints/{id}/attempts", tag: "Attempts",
		scope: config.ScopeDeliveriesRead, summary: "List an endpoint's attempts", errors: []int{http.StatusNotFound},
		detail: "Newest first. A page may be short, or empty, although there are more, where they are rare: go on while there is a next_cursor.",
	}, listEndpointAttempts)
}

func endpointStatusRoutes(s *Server) {
	const write, tag = config.ScopeEndpointsWrite, "Endpoints"
	state := []int{http.StatusNotFound, http.StatusConflict}
	change(s, route{
		id: "pause-endpoint", method: http.MethodPost, path: "/v1/endpoints/{id}/pause", tag: tag, scope: write,
		summary: "Queue an endpoint's events instead of sending them", errors: state,
	}, pauseEndpoint)
	change(s, route{
		id: "resume-endpoint", method: http.MethodPost, path: "/v1/endpoints/{id}/resume", tag: tag, scope: write,
		summary: "Send to a paused endpoint again", errors: state, detail: "What is queued comes first.",
	}, resumeEndpoint)
	change(s, route{
		id: "enable-endpoint", method: http.MethodPost, path: "/v1/endpoints/{id}/enable", tag: tag, scope: write,
		summary: "Send to a disabled endpoint again", errors: state,
	}, enableEndpoint)
}

func backtestRoutes(s *Server) {
	const tag = "Endpoints"
	backtest := "On recent events of the outbox table, bounded in time and size. Nothing is stored or sent."
	ask(s, route{
		id: "backtest", method: http.MethodPost, path: "/v1/endpoints/backtest", tag: tag, scope: config.ScopeDeliveriesRead,
		summary: "Try subscriptions on recent events", errors: []int{http.StatusConflict}, detail: backtest,
	}, backtestNew)
	ask(s, route{
		id: "backtest-endpoint", method: http.MethodPost, path: "/v1/endpoints/{id}/backtest", tag: tag, scope: config.ScopeDeliveriesRead,
		summary: "Try other subscriptions of an endpoint on recent events", errors: []int{http.StatusNotFound, http.StatusConflict},
		detail: "What is left out stays as it is. " + backtest,
	}, backtestEndpoint)
}

func deliveryRoutes(s *Server) {
	const read, write = config.ScopeDeliveriesRead, config.ScopeDeliveriesWrite
	ask(s, route{
		id: "list-attempts", method: http.MethodGet, path: "/v1/attempts", tag: "Attempts", scope: read, summary: "List attempts",
		detail: "Newest first. A page may be short, or empty, although there are more, where they are rare: go on while there is a next_cursor.",
	}, listAttempts)
	ask(s, route{
		id: "stream-attempts", method: http.MethodGet, path: "/v1/attempts/stream", tag: "Attempts", scope: streamScope, stream: true,
		summary: "Follow attempts as they are recorded",
		detail:  "Server-sent events: attempt (as in the list), skipped (how many were left out, beyond 50 a second) and seen, whose id is for Last-Event-ID or after.",
	}, streamAttempts)
	ask(s, route{
		id: "get-stats", method: http.MethodGet, path: "/v1/stats", tag: "Attempts", scope: read, summary: "Count attempts over time",
		detail: "Exact, from the counters that are kept by endpoint and hour in the transaction that records the attempts. Hours that retention has summed up are not in it.",
	}, getSeries)
	ask(s, route{
		id: "list-deliveries", method: http.MethodGet, path: "/v1/deliveries", tag: "Deliveries", scope: read,
		summary: "List what is not delivered, and why", detail: "Newest commits first.",
	}, listDeliveries)
	ask(s, route{
		id: "resend-deliveries", method: http.MethodPost, path: resendPath, tag: "Deliveries", scope: write, status: http.StatusAccepted,
		summary: "Attempt deliveries now", errors: []int{http.StatusNotFound, http.StatusConflict},
		answers: []answer{
			{http.StatusOK, "Selected", "What a dry run counted, or that the one delivery that event_id and endpoint_id name was queued."},
			{http.StatusAccepted, "Resend", "The resend that the relay carries out."},
		},
		detail: "One, many by filter, or all dead ones of an endpoint. One is queued by this call. Many are queued in the background, endpoint by endpoint in the order of commits, and what changed since is left alone: " +
			"see /v1/resends. They are sent by the relay, at the endpoint's rate and in its order. " +
			"With event_id and endpoint_id alone, an event that the endpoint has already, or that was discarded, is queued once more from its outbox row, at the end of the endpoint's order; the answer is 409 where that row is gone.",
	}, resendDeliveries)
	ask(s, route{
		id: "discard-deliveries", method: http.MethodPost, path: "/v1/deliveries/discard", tag: "Deliveries", scope: write,
		summary: "Give deliveries up for good", errors: []int{http.StatusNotFound},
		detail: "10,000 in one call at most, so that no row is locked for long; while more is true, call again, with another Idempotency-Key if any.",
	}, discardDeliveries)
	ask(s, route{
		id: "list-events", method: http.MethodGet, path: "/v1/events", tag: "Events", scope: read, summary: "List events and what became of them",
		detail: "Newest first: those of the outbox table, then those that were attempted and whose outbox row is gone. It is read a part at a time, so that a page may be short, or empty, although there are more: go on while there is a next_cursor.",
	}, listEvents)
	ask(s, route{
		id: "get-event", method: http.MethodGet, path: "/v1/events/{id}", tag: "Events", scope: read,
		summary: "Get an event, its deliveries and its attempts", errors: []int{http.StatusNotFound},
	}, getEvent)
	ask(s, route{
		id: "explain-event", method: http.MethodGet, path: "/v1/events/{id}/explain", tag: "Events", scope: read,
		summary: "Say why endpoints got an event, or did not", errors: []int{http.StatusNotFound},
		detail: "By what is on record and, where nothing is, by the endpoint's settings of now. Values that a filter looked at are shown.",
	}, explainEvent)
	ask(s, route{
		id: "list-replays", method: http.MethodGet, path: "/v1/replays", tag: "Replays", scope: read, summary: "List replays", detail: "Newest first.",
	}, listReplays)
	ask(s, route{
		id: "create-replay", method: http.MethodPost, path: "/v1/replays", tag: "Replays", scope: write, status: http.StatusCreated,
		summary: "Deliver a range of events once more", answers: []answer{{http.StatusOK, "Replay", counted}}, errors: []int{http.StatusNotFound, http.StatusConflict},
		detail: "From the outbox rows that are still there. It runs in the background, at the endpoint's rate and in its order, and survives restarts.",
	}, createReplay)
	ask(s, route{
		id: "get-replay", method: http.MethodGet, path: "/v1/replays/{id}", tag: "Replays", scope: read,
		summary: "Get a replay and how far it is", errors: []int{http.StatusNotFound},
	}, getReplay)
	ask(s, route{
		id: "list-missing-events", method: http.MethodGet, path: "/v1/replays/{id}/missing", tag: "Replays", scope: read,
		summary: "List what a replay cannot deliver once more", errors: []int{http.StatusNotFound},
		detail: "Events that were attempted at the endpoint within the replay's range, and whose outbox row was gone when it began, or before it came to them. Those attempted first come first.",
	}, listMissing)
	change(s, route{
		id: "cancel-replay", method: http.MethodPost, path: "/v1/replays/{id}/cancel", tag: "Replays", scope: write,
		summary: "Stop a replay", errors: []int{http.StatusNotFound, http.StatusConflict}, detail: "What it queued already is still delivered.",
	}, cancelReplay)
}

// resendRoutes are those of resends that run in the background.
func resendRoutes(s *Server) {
	const read, write, tag = config.ScopeDeliveriesRead, config.ScopeDeliveriesWrite, "Resends"
	ask(s, route{
		id: "list-resends", method: http.MethodGet, path: "/v1/resends", tag: tag, scope: read, summary: "List resends", detail: "Newest first.",
	}, listResends)
	ask(s, route{
		id: "get-resend", method: http.MethodGet, path: "/v1/resends/{id}", tag: tag, scope: read,
		summary: "Get a resend and how far it is", errors: []int{http.StatusNotFound},
	}, getResend)
	change(s, route{
		id: "cancel-resend", method: http.MethodPost, path: "/v1/resends/{id}/cancel", tag: tag, scope: write,
		summary: "Stop a resend", errors: []int{http.StatusNotFound, http.StatusConflict}, detail: "What it queued already is still delivered.",
	}, cancelResend)
}

func otherRoutes(s *Server) {
	const read, write = config.ScopeEndpointsRead, config.ScopeEndpointsWrite
	ask(s, route{
		id: "list-event-types", method: http.MethodGet, path: "/v1/event-types", tag: "Event types", scope: read,
		summary: "List the catalogue of events", detail: "In the order of their names.",
	}, listEventTypes)
	ask(s, route{
		id: "get-event-type", method: http.MethodGet, path: "/v1/event-types/{name}", tag: "Event types", scope: read,
		summary: "Get an entry of the catalogue", errors: []int{http.StatusNotFound},
	}, getEventType)
	change(s, route{
		id: "put-event-type", method: http.MethodPut, path: "/v1/event-types/{name}", tag: "Event types", scope: write,
		summary: "Describe a type of events", errors: []int{http.StatusPreconditionFailed},
	}, putEventType)
	change(s, route{
		id: "delete-event-type", method: http.MethodDelete, path: "/v1/event-types/{name}", tag: "Event types", scope: write,
		summary: "Remove an entry of the catalogue", errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, deleteEventType)
	ask(s, route{
		id: "list-versions", method: http.MethodGet, path: "/v1/versions", tag: "Event types", scope: read,
		summary: "List the versions of the events' data", detail: "Those of the configuration, newest first; none where it has no version blocks.",
	}, listVersions)
	ask(s, route{
		id: "list-keys", method: http.MethodGet, path: "/v1/keys", tag: "Keys", scope: config.ScopeKeysWrite,
		summary: "List keys", detail: "Newest first, those of the configuration among them.",
	}, listKeys)
	change(s, route{
		id: "create-key", method: http.MethodPost, path: "/v1/keys", tag: "Keys", scope: config.ScopeKeysWrite, status: http.StatusCreated,
		summary: "Make a key", detail: "Its secret is in this answer and never again. It can do no more than the key that makes it.",
	}, createKey)
	change(s, route{
		id: "delete-key", method: http.MethodDelete, path: "/v1/keys/{id}", tag: "Keys", scope: config.ScopeKeysWrite,
		summary: "Delete a key", errors: []int{http.StatusNotFound, http.StatusConflict},
	}, deleteKey)
	ask(s, route{
		id: "list-audit", method: http.MethodGet, path: "/v1/audit", tag: "Keys", scope: config.ScopeKeysWrite,
		summary: "List the changes that were made", detail: "Newest first, with what it was and what it is. Secrets are not among it.",
	}, listAudit)
	ask(s, route{
		id: "get-relay", method: http.MethodGet, path: "/v1/relay", tag: "Relay", scope: config.ScopeDeliveriesRead,
		summary: "Say how the relay does", detail: "Only for keys that are bound to no tenant.", errors: []int{http.StatusNotFound},
	}, getRelay)
	ask(s, route{
		id: "get-completeness", method: http.MethodGet, path: "/v1/relay/completeness", tag: "Relay", scope: config.ScopeDeliveriesRead,
		summary: "Say whether anything is missing", errors: []int{http.StatusNotFound},
		detail: "What became of the newest outbox rows, how the audit stands, which gaps were healed, and how long the write-ahead log lasts. Only for keys that are bound to no tenant.",
	}, checkCompleteness)
	ask(s, route{
		id: "get-metrics", method: http.MethodGet, path: "/metrics", tag: "Relay", scope: config.ScopeDeliveriesRead, text: true,
		summary: "Get the metrics of this process", errors: []int{http.StatusNotFound},
		detail: "In the text format of Prometheus, where the configuration has a metrics block. Only for keys that are bound to no tenant.",
	}, getMetrics)
	ask(s, route{
		id: "healthz", method: http.MethodGet, path: "/healthz", tag: "Relay", summary: "Say whether the process lives",
	}, healthz)
	ask(s, route{
		id: "readyz", method: http.MethodGet, path: "/readyz", tag: "Relay", summary: "Say whether events are delivered",
		detail: "By this process, or by another one that it stands by for and that makes progress. Otherwise the answer is 503 and says why.",
	}, readyz)
	ask(s, route{
		id: "jwks", method: http.MethodGet, path: "/.well-known/jwks.json", tag: "Relay",
		summary: "Get the public keys of endpoints that sign with a key pair",
	}, getPublicKeys)
}

// portalRoutes are those of links to the customer portal.
func portalRoutes(s *Server) {
	const tag, scope = "Portal links", config.ScopePortalWrite
	ask(s, route{
		id: "list-portal-links", method: http.MethodGet, path: "/v1/portal-links", tag: tag, scope: scope,
		summary: "List the links to the customer portal", detail: "Those that are not over, newest first. The links themselves are not among it.",
	}, listPortalLinks)
	change(s, route{
		id: "create-portal-link", method: http.MethodPost, path: "/v1/portal-links", tag: tag, scope: scope, status: http.StatusCreated,
		summary: "Make a link to the customer portal", errors: []int{http.StatusConflict},
		detail: "For one tenant: its endpoints, its log and the catalogue, and nothing else. The link is signed and is in this answer only. It can do no more than the key that makes it, and ends with it.",
	}, createPortalLink)
	change(s, route{
		id: "delete-portal-link", method: http.MethodDelete, path: "/v1/portal-links/{id}", tag: tag, scope: scope,
		summary: "Revoke a link to the customer portal", errors: []int{http.StatusNotFound}, detail: "Sessions that it opened are over within two seconds.",
	}, deletePortalLink)
}

// plainRoutes are those that the OpenAPI document does not describe: it and the page that shows it.
func plainRoutes(s *Server) {
	text, err := s.Document()
	if err != nil {
		panic(err) // broken code: the document is a constant
	}
	s.mux.HandleFunc("GET /openapi.json", serveDocument(text))
	s.mux.HandleFunc("GET /docs", serveDocs("index.html", "text/html; charset=utf-8"))
	s.mux.HandleFunc("GET /docs/docs.js", serveDocs("docs.js", "text/javascript; charset=utf-8"))
	s.mux.HandleFunc("GET /docs/docs.css", serveDocs("docs.css", "text/css; charset=utf-8"))
}

// operation is the route as huma has it.
func (r *route) operation() huma.Operation {
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Tags: []string{r.tag}, Summary: r.summary, Description: r.detail,
		DefaultStatus: r.status, MaxBodyBytes: MaxBody, Metadata: map[string]any{scopeOf: r.scope},
		Errors: append([]int{http.StatusServiceUnavailable}, r.errors...),
	}
	if len(r.answers) > 0 {
		op.Responses = make(map[string]*huma.Response)
	}
	for _, a := range r.answers {
		op.Responses[strconv.Itoa(a.status)] = &huma.Response{
			Description: a.what,
			Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + a.object}}},
		}
	}
	if r.text || r.stream {
		media := "text/plain"
		if r.stream {
			media = "text/event-stream"
		}
		op.Responses = map[string]*huma.Response{"200": {
			Description: "OK",
			Content:     map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: huma.TypeString}}},
		}}
	}
	if op.DefaultStatus == 0 {
		op.DefaultStatus = http.StatusOK
	}
	if r.scope != "" {
		op.Security = []map[string][]string{{"key": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)
		op.Description = strings.TrimSpace(op.Description + " Needs the scope " + r.scope + ".")
	}
	switch r.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	op.Errors = append(op.Errors, http.StatusUnprocessableEntity, http.StatusInternalServerError)
	return op
}
