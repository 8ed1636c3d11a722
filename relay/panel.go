package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/panel"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// mountPanel serves the panel and the customer portal beside the API; the root leads to the panel.
func (r *Relay) mountPanel(server *api.Server, st *query.Store) {
	pages := panel.New(panel.Options{
		API: server, Sessions: sessions{st}, Config: r.config, Version: r.opts.Version, Logger: r.log,
	})
	server.Mount(panel.Root, pages)
	server.Mount(panel.PortalRoot, pages)
	server.Mount("GET /{$}", http.RedirectHandler(panel.Root, http.StatusFound))
}

// sessions are the panel's, kept in the database.
type sessions struct{ store *query.Store }

func (s sessions) OpenSession(ctx context.Context, open panel.Session) error {
	return s.store.OpenSession(ctx, query.Login(open))
}

func (s sessions) Session(ctx context.Context, hash []byte) (panel.Session, error) {
	login, err := s.store.Session(ctx, hash)
	if errors.Is(err, query.ErrNotFound) {
		return panel.Session{}, panel.ErrNoSession
	}
	return panel.Session(login), err
}

func (s sessions) SeeSession(ctx context.Context, hash []byte, at time.Time) error {
	return s.store.SeeSession(ctx, hash, at)
}

func (s sessions) CloseSession(ctx context.Context, hash []byte) error {
	return s.store.CloseSession(ctx, hash)
}

func (s sessions) SweepSessions(ctx context.Context, created, seen time.Time) error {
	return s.store.SweepSessions(ctx, created, seen)
}
