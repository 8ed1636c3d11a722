package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// The limits of a connection and of a request.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 150 * time.Second // a bulk change may take 120
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10
)

// MaxBody is how large the body of a request may be, in bytes.
const MaxBody = 512 << 10

// Status is the state of this process's relay.
type Status struct {
	State string
	Slot  string
	Owner string
	Epoch int64
	// LoadedAt is when the configuration took effect.
	LoadedAt time.Time
	// Unrecorded is since when attempts cannot be recorded; zero: they can.
	Unrecorded time.Time
	// Unpublished is since when NATS does not take what senders are to get; zero: it does.
	Unpublished time.Time
	// Alone is since when NATS has taken nothing, where this relay delivers alone meanwhile; zero:
	// it does not.
	Alone time.Time
}

// Options say what a Server needs. All functions are called at every request, so that a reload
// takes effect at once.
type Options struct {
	Store   *query.Store
	Config  func() *config.Config
	Keyring func() *seal.Keyring
	Client  func(configured bool) *webhook.Client // sends test events to an endpoint of the configuration, or to another
	Status  func() Status
	// Admission returns how much an endpoint is sent now; false: this process does not deliver, or
	// not to it. nil: it never does.
	Admission func(endpointID string) (Admission, bool)
	Metrics   func(ctx context.Context) []byte // in the text format of Prometheus; nil: there are none
	Logger    zerolog.Logger
	Now       func() time.Time // nil: time.Now
}

// Server serves the API.
type Server struct {
	store     *query.Store
	config    func() *config.Config
	keyring   func() *seal.Keyring
	client    func(configured bool) *webhook.Client
	status    func() Status
	metrics   func(ctx context.Context) []byte
	admission func(endpointID string) (Admission, bool)
	log       zerolog.Logger
	now       func() time.Time

	api     huma.API
	mux     *http.ServeMux
	origins *http.CrossOriginProtection
	logins  logins
	tests   tests

	mu   sync.Mutex
	used map[string]time.Time // when the use of a key was written down
	jwks cachedKeys
	wal  walRate

	owner owner

	tails    tails
	stopping chan struct{} // closed when Serve ends
}

// New makes a Server. It listens nowhere yet.
func New(o Options) *Server {
	s := &Server{
		store: o.Store, config: o.Config, keyring: o.Keyring, client: o.Client, status: o.Status, metrics: o.Metrics, admission: o.Admission, log: o.Logger, now: o.Now,
		mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(),
		logins: logins{addresses: make(map[string]*visitor)}, used: make(map[string]time.Time),
		stopping: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	cfg := document()
	cfg.Transformers = []huma.Transformer{s.transform}
	s.api = humago.New(s.mux, cfg)
	s.api.UseMiddleware(s.authenticate)
	s.api.OpenAPI().Components.Schemas.RegisterTypeAlias(errorModelType(), problemType())
	registerRoutes(s)
	return s
}

// Document returns the OpenAPI document.
func (s *Server) Document() ([]byte, error) { return documentText(s.api.OpenAPI()) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &lateWriter{ResponseWriter: rw}
	defer s.recover(w, r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	handler, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		w.send()
		return
	}
	// The mux answers in plain text; only its status, Allow and Location are kept.
	probe := httptest.NewRecorder()
	handler.ServeHTTP(probe, r)
	if allow := probe.Header().Get("Allow"); allow != "" {
		h.Set("Allow", allow)
	}
	if location := probe.Header().Get("Location"); location != "" {
		h.Set("Location", location)
	}
	detail := "There is nothing at this path; /openapi.json lists what there is."
	if probe.Code == http.StatusMethodNotAllowed {
		detail = "This path knows " + probe.Header().Get("Allow") + "."
	}
	w.fail(problem(probe.Code, detail))
}

// recover keeps a bug in one request from ending the relay.
func (s *Server) recover(w *lateWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	s.log.Error().Interface("panic", cause).Str("method", r.Method).Bytes("stack", debug.Stack()).Msg("the API panicked")
	w.fail(problem(http.StatusInternalServerError, "Something went wrong; the relay's log says what."))
}

// transform turns what huma says of a request into a Problem. Huma quotes what was sent, which may
// be a secret: none of that is kept.
func (s *Server) transform(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := problem(model.Status, sentence(model.Detail))
	switch model.Status {
	case http.StatusUnprocessableEntity:
		p = invalid()
	case http.StatusBadRequest:
		p.Detail = "The body is missing or cannot be read."
	case http.StatusUnsupportedMediaType:
		return problem(model.Status, "Send the body as application/json."), nil
	}
	for _, detail := range model.Errors {
		field := fieldProblem(s.api, ctx.Operation(), detail)
		if model.Status == http.StatusBadRequest && detail.Location == "body" {
			field.Detail = "The body is not valid JSON."
		}
		p.Errors = append(p.Errors, field)
	}
	return p, nil
}

// write ends a request with a problem before its operation runs.
func (s *Server) write(ctx huma.Context, p *Problem) {
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	if err := s.api.Marshal(ctx.BodyWriter(), "application/json", p); err != nil {
		s.log.Debug().Err(err).Msg("the caller left before the answer")
	}
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	// A caller that left before the answer gets none.
	_ = huma.DefaultJSONFormat.Marshal(w, p)
}

// Listen opens the configured listener, with TLS where the configuration names a certificate. What
// is wrong with a renewed one goes to the log.
func Listen(ctx context.Context, cfg *config.API, log zerolog.Logger) (net.Listener, error) {
	if !cfg.Loopback() && len(cfg.Keys) == 0 {
		return nil, errors.New("listen for the API: without a key only a loopback address will do: add a key block to api, or listen on 127.0.0.1")
	}
	var secure *tls.Config
	if cfg.TLS != (config.TLS{}) {
		pair := &keyPair{files: cfg.TLS, log: log}
		if _, err := pair.get(nil); err != nil {
			return nil, fmt.Errorf("listen for the API: %w", err)
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	return listener, nil
}

// Serve answers requests until ctx is done; those in flight then have the grace. It closes the
// listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: nil,
	}
	server.ErrorLog = discardLog()
	server.RegisterOnShutdown(func() { close(s.stopping) }) // live tails never end by themselves
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), grace, errors.New("the grace for stopping is over"))
	defer cancel()
	if server.Shutdown(ending) != nil {
		// A caller without an answer by now gets none.
		_ = server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}
