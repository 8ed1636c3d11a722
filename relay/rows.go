package relay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// endpointTable is where endpoints live.
const endpointTable = postgres.DefaultEndpointTable

// rowBatch is how many changes of endpoints wait at most before the routing is made anew.
const rowBatch = 512

// rows turns changes of tailpost.endpoint into changes of the routing, at their place in the stream. An endpoint made
// through the API is all its row says; one of the configuration is there already, and only its status is a row's.
//
// It belongs to the stream's goroutine.
type rows struct {
	maker      *maker
	dispatcher *dispatch.Dispatcher
	log        zerolog.Logger

	known   map[string]*known // by endpoint id
	pending []dispatch.Change
	rel     *postgres.Relation // what parser was built for
	parser  *ledger.RowParser
}

// known is what is remembered of an endpoint's row, to tell what an update changed.
type known struct {
	sum    [sha256.Size]byte // of its version; zero: it is one of the configuration
	status string
	sender closer
}

type closer interface{ Close() }

// maker makes endpoints of rows.
type maker struct {
	client  *webhook.Client
	network config.Network
	keys    *seal.Keyring
	log     zerolog.Logger
}

// blockedLogged bounds how many endpoints that cannot be used are named in the log when a hold begins.
const blockedLogged = 10

// rows loads the endpoints made through the API as they were at the beginning of the stream.
func (r *Relay) rows(ctx context.Context, led *ledger.Ledger, cfg *config.Config, before outbox.LSN) (*rows, []dispatch.Endpoint, error) {
	r.mu.Lock()
	client, keys := r.client, r.keyring
	r.mu.Unlock()
	s := &rows{
		maker: &maker{client: client, network: cfg.Network, keys: keys, log: r.log}, log: r.log,
		known: make(map[string]*known),
	}
	found, err := led.Versions(ctx, before)
	if err != nil {
		return nil, nil, err
	}
	endpoints := make([]dispatch.Endpoint, 0, len(found))
	blocked := 0
	for i := range found {
		text, err := ledger.EncodeVersion(&found[i])
		if err != nil {
			return nil, nil, err
		}
		e, sender, err := s.maker.endpoint(&found[i])
		if err != nil {
			if blocked++; blocked <= blockedLogged {
				logBlocked(r.log, found[i].ID, err)
			}
		}
		s.known[found[i].ID] = &known{sum: sha256.Sum256(text), status: found[i].Status, sender: sender}
		endpoints = append(endpoints, e)
	}
	if blocked > blockedLogged {
		r.log.Error().Int("endpoints", blocked).Msg("endpoints cannot be used, only the first ones are named above")
	}
	return s, endpoints, nil
}

func logBlocked(log zerolog.Logger, id string, err error) {
	log.Error().Err(err).Str("endpoint", id).
		Msg("endpoint cannot be used: what it should get is parked until its row or the configuration is corrected")
}

// note remembers the status of the configuration's endpoints, so that their rows tell what changes.
func (s *rows) note(endpoints []dispatch.Endpoint) {
	for i := range endpoints {
		s.known[endpoints[i].Config.ID] = &known{status: endpoints[i].State.Status}
	}
}

// change takes a change of the table within tx, before the transaction's event seq.
func (s *rows) change(op postgres.Op, rel *postgres.Relation, values []outbox.Value, at postgres.Tx, place, seq int64, tx *source.Unsettled) {
	if rel != s.rel {
		s.rel = rel
		var err error
		if s.parser, err = ledger.NewRowParser(rel.Columns); err != nil {
			s.log.Error().Err(err).Msg("changes of endpoints are not applied")
		}
	}
	if s.parser == nil {
		return
	}
	version := ledger.EndpointVersion{EndpointID: s.parser.ID(values), CommitLSN: at.CommitLSN, Seq: place}
	switch op {
	case postgres.Delete:
		// One of the configuration goes with the configuration.
		if s.parser.Source(values) == ledger.SourceAPI {
			s.remove(version, seq)
		}
	case postgres.Insert, postgres.Update:
		row, err := s.parser.Parse(values)
		if err != nil {
			s.log.Error().Err(err).Str("endpoint", version.EndpointID).Msg("change of an endpoint not applied, it stays as it was")
			return
		}
		s.put(&row, version, seq, tx)
	case postgres.Truncate:
	}
	if len(s.pending) >= rowBatch {
		s.flush(tx)
	}
}

func (s *rows) remove(version ledger.EndpointVersion, seq int64) {
	old := s.known[version.EndpointID]
	delete(s.known, version.EndpointID)
	// One that is not known was left out because it would be deleted; that is noted now.
	if old != nil {
		old.close()
	}
	s.pending = append(s.pending, dispatch.Change{ID: version.EndpointID, Version: version, Seq: seq})
}

func (s *rows) put(row *ledger.EndpointRow, version ledger.EndpointVersion, seq int64, tx *source.Unsettled) {
	old := s.known[row.ID]
	if row.Source == ledger.SourceAPI {
		text, err := ledger.EncodeVersion(row)
		if err != nil {
			s.log.Error().Err(err).Str("endpoint", row.ID).Msg("change of an endpoint not applied, it stays as it was")
			return
		}
		version.Row = text
		if sum := sha256.Sum256(text); old == nil || old.sum != sum {
			old = s.replace(row, old, sum, version, seq)
		}
	}
	switch {
	case old == nil:
		s.known[row.ID] = &known{status: row.Status}
	case old.status != row.Status:
		old.status = row.Status
		s.flush(tx)
		s.dispatcher.SetState(row.ID, row.State())
		s.log.Info().Str("endpoint", row.ID).Str("status", row.Status).Str("reason", row.DisabledReason).Msg("endpoint changed its status")
	}
}

// replace has an endpoint made anew of its row.
func (s *rows) replace(row *ledger.EndpointRow, old *known, sum [sha256.Size]byte, version ledger.EndpointVersion, seq int64) *known {
	e, sender, err := s.maker.endpoint(row)
	if err != nil {
		logBlocked(s.log, row.ID, err)
	}
	k := &known{sum: sum, status: row.Status, sender: sender}
	if old != nil {
		old.close()
		k.status = old.status
	}
	s.known[row.ID] = k
	s.pending = append(s.pending, dispatch.Change{ID: row.ID, Endpoint: &e, Version: version, Seq: seq})
	return k
}

// close closes idle connections; requests in flight end as they would.
func (k *known) close() {
	if k.sender != nil {
		k.sender.Close()
	}
}

// flush applies what is pending, for the events of the stream that follow.
func (s *rows) flush(tx *source.Unsettled) {
	if s == nil || len(s.pending) == 0 {
		return
	}
	s.dispatcher.Change(s.pending, tx)
	clear(s.pending)
	s.pending = s.pending[:0]
}

// endpoint makes the endpoint of a row. One that cannot be used is given too, Blocked, with the reason.
func (m *maker) endpoint(row *ledger.EndpointRow) (dispatch.Endpoint, closer, error) {
	e := dispatch.Endpoint{State: row.State(), Streamed: true}
	var err error
	e.Config, err = ledger.DecodeEndpoint(*row)
	sealed, sealedErr := m.open(row)
	for _, s := range sealed.Secrets {
		e.Config.Secrets = append(e.Config.Secrets, s.Secret)
	}
	e.Config.Headers = sealed.Headers
	if len(sealed.Secrets) == 0 {
		// The lack is known already, and the rules are to find what else is wrong.
		e.Config.Secrets = []config.Secret{config.NewSecret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")}
	}
	if err = errors.Join(err, sealedErr); err == nil {
		if diags := config.ValidateEndpoint(&e.Config, m.network); diags.HasErrors() {
			err = diags
		}
	} else {
		_ = config.ValidateEndpoint(&e.Config, m.network) // for the defaults
	}
	var sender closer
	if err == nil {
		sender, err = m.sender(&e, sealed.Secrets)
	}
	if err != nil {
		e.Blocked, e.Sender = true, nil
	}
	slim(&e.Config)
	return e, sender, err
}

// open gives what is sealed of a row.
func (m *maker) open(row *ledger.EndpointRow) (ledger.Sealed, error) {
	if len(row.Secrets) == 0 {
		return ledger.Sealed{}, errors.New("it has no secrets: rotate them through the API")
	}
	text, err := m.keys.Open(row.Secrets, []byte(row.ID))
	if err != nil {
		return ledger.Sealed{}, fmt.Errorf("open its secrets: %w", err)
	}
	return ledger.DecodeSealed(row, text)
}

func (m *maker) sender(e *dispatch.Endpoint, secrets []ledger.EndpointSecret) (closer, error) {
	if !slices.ContainsFunc(secrets, func(s ledger.EndpointSecret) bool { return !s.ExpiresAt.IsZero() }) {
		sender, err := m.client.Endpoint(e.Config)
		if err != nil {
			return nil, err
		}
		e.Sender = sender
		return sender, nil
	}
	sender, err := newRotation(m.client, e.Config, secrets, time.Now())
	if err != nil {
		return nil, err
	}
	e.Sender = sender
	return sender, nil
}

// slim drops what only the sender and people need: there may be many endpoints.
func slim(e *config.Endpoint) {
	e.Secrets, e.Headers, e.Name, e.Description, e.URL = nil, nil, "", "", ""
}
