package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay"
)

// console makes a client of the configured database: the handlers of the API answer within this
// process, so that a command finds the same there as at a relay, whether one runs or not.
func (f *apiFlags) console(ctx context.Context, a *app) (*client, error) {
	load := a.loadDatabase
	if f.whole {
		load = a.loadConfig
	}
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	console, err := openConsole(ctx, a, cfg)
	if err != nil {
		return nil, err
	}
	wire := newWire()
	server := &http.Server{Handler: console, ReadHeaderTimeout: apiTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(wire) // ends with the wire
	}()
	transport := &http.Transport{DialContext: wire.dial} //nolint:forbidigo // It stays within this process.
	a.ending = append(a.ending, func() {
		transport.CloseIdleConnections()
		_ = server.Close() // nobody asks any more
		<-ended
		console.Close()
	})
	return &client{
		base: &url.URL{Scheme: "http", Host: "localhost"},
		http: &http.Client{Transport: transport}, //nolint:forbidigo // It stays within this process.
	}, nil
}

func openConsole(ctx context.Context, a *app, cfg *config.Config) (*relay.Console, error) {
	actor := "command"
	if user := a.getenv("USER"); user != "" {
		actor += ":" + user
	}
	logger := zerolog.New(zerolog.ConsoleWriter{Out: a.stderr, NoColor: true, PartsOrder: []string{zerolog.MessageFieldName}}).Level(zerolog.ErrorLevel)
	console, err := relay.OpenConsole(ctx, cfg, actor, relay.Options{Logger: logger, Version: productVersion(), Roots: roots(a.getenv)})
	return console, storeHint(err)
}

// storeHint adds to why the database could not be used what mends that.
func storeHint(err error) error {
	switch {
	case errors.Is(err, schema.ErrOlder):
		return hint(err, "tailpost migrate")
	case errors.Is(err, schema.ErrNewer):
		return hint(err, "a later tailpost")
	case err != nil && pglink.Passes(err) && pglink.State(err) == "": // what the server answers says more
		return hint(err, "database.url, and that the server takes connections")
	}
	return err
}

// wire is a listener whose connections begin and end in this process.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (w *wire) Accept() (net.Conn, error) {
	select {
	case conn := <-w.conns:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The server calls it once.
func (w *wire) Close() error {
	close(w.closed)
	return nil
}

// Addr implements net.Listener.
func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "console", Net: "unix"} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.conns <- there:
		return here, nil
	case <-w.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
