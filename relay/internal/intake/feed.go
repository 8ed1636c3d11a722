package intake

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
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// rowBatch is how many changes of endpoints wait at most before the routing is made anew.
const rowBatch = 512

// Feed turns rows of tailpost.endpoint into changes of the routing, at their place in the stream.
// An endpoint made through the API is all its row says; one of the configuration is there already,
// and only its status is a row's.
//
// It belongs to the source's goroutine.
type Feed struct {
	maker      *maker
	dispatcher Dispatcher
	log        zerolog.Logger

	known   map[string]*known // by endpoint id
	pending []dispatch.Change
	table   *source.Table // what parser was built for
	parser  *ledger.RowParser
}

// known is the last state of an endpoint's row, to tell what an update changed.
type known struct {
	sum    [sha256.Size]byte // of its version; zero: it is one of the configuration
	status string
	// verified is what the endpoint has shown.
	verified string
	sender   closer
}

type closer interface{ Close() }

// maker makes endpoints of rows.
type maker struct {
	client   *webhook.Client
	network  config.Network
	versions config.Versions
	keys     *seal.Keyring
}

// blockedLogged bounds how many endpoints that cannot be used are named in the log when a hold
// begins.
const blockedLogged = 10

// FeedOptions are the dependencies of a Feed.
type FeedOptions struct {
	Client   *webhook.Client
	Network  config.Network
	Versions config.Versions // that endpoints may pin
	Keys     *seal.Keyring
	// Mine reports whether an endpoint is this dispatcher's. nil: all are.
	Mine   func(id string) bool
	Logger zerolog.Logger
}

// Versions are the endpoints made through the API; *ledger.Ledger has them.
type Versions interface {
	// Versions returns them as they were at a place in the stream, with their state of now.
	Versions(ctx context.Context, before outbox.LSN) ([]ledger.EndpointRow, error)
}

// Load returns a Feed from a place in the stream on, and the endpoints made through the API as they
// were there.
func Load(ctx context.Context, led Versions, from source.Position, o FeedOptions) (*Feed, []dispatch.Endpoint, error) {
	s := &Feed{
		maker: &maker{client: o.Client, network: o.Network, versions: o.Versions, keys: o.Keys}, log: o.Logger,
		known: make(map[string]*known),
	}
	found, err := led.Versions(ctx, outbox.LSN(from))
	if err != nil {
		return nil, nil, err
	}
	endpoints := make([]dispatch.Endpoint, 0, len(found))
	blocked := 0
	for i := range found {
		if o.Mine != nil && !o.Mine(found[i].ID) {
			continue
		}
		text, err := ledger.EncodeVersion(&found[i])
		if err != nil {
			return nil, nil, err
		}
		e, sender, err := s.maker.endpoint(&found[i])
		if err != nil {
			if blocked++; blocked <= blockedLogged {
				logBlocked(o.Logger, found[i].ID, err)
			}
		}
		s.known[found[i].ID] = &known{sum: sha256.Sum256(text), status: found[i].Status, verified: found[i].Verified, sender: sender}
		endpoints = append(endpoints, e)
	}
	if blocked > blockedLogged {
		o.Logger.Error().Int("endpoints", blocked).Msg("endpoints cannot be used, only the first ones are named above")
	}
	return s, endpoints, nil
}

func logBlocked(log zerolog.Logger, id string, err error) {
	log.Error().Err(err).Str("endpoint", id).
		Msg("endpoint cannot be used: what it should get is parked until its row or the configuration is corrected")
}

// Note remembers the status of the configuration's endpoints, so that their rows tell what changes.
func (s *Feed) Note(endpoints []dispatch.Endpoint) {
	for i := range endpoints {
		s.known[endpoints[i].Config.ID] = &known{status: endpoints[i].State.Status, verified: endpoints[i].State.Verified}
	}
}

// change applies a changed row of the table within a transaction.
func (s *Feed) change(row source.Row, tx source.Tx, counts *source.Unsettled) {
	if row.Table != s.table {
		s.table = row.Table
		var err error
		if s.parser, err = ledger.NewRowParser(row.Table.Columns); err != nil {
			s.log.Error().Err(err).Msg("changes of endpoints are not applied")
		}
	}
	if s.parser == nil {
		return
	}
	version := ledger.EndpointVersion{EndpointID: s.parser.ID(row.Values), CommitLSN: outbox.LSN(tx.Commit), Seq: row.Place}
	if !row.Deleted {
		parsed, err := s.parser.Parse(row.Values)
		if err != nil {
			s.log.Error().Err(err).Str("endpoint", version.EndpointID).Msg("change of an endpoint not applied, it stays as it was")
			return
		}
		s.put(&parsed, version, row.Seq, counts)
	} else if s.parser.Source(row.Values) == ledger.SourceAPI {
		// One of the configuration goes with the configuration.
		s.remove(version, row.Seq)
	}
	if len(s.pending) >= rowBatch {
		s.flush(counts)
	}
}

// id returns the endpoint that a row is of; empty: that cannot be told.
func (s *Feed) id(row source.Row) string {
	if s == nil || s.parser == nil {
		return ""
	}
	return s.parser.ID(row.Values)
}

func (s *Feed) remove(version ledger.EndpointVersion, seq int64) {
	old := s.known[version.EndpointID]
	delete(s.known, version.EndpointID)
	// One that is not known was left out because it would be deleted; that is noted now.
	if old != nil {
		old.close()
	}
	s.pending = append(s.pending, dispatch.Change{ID: version.EndpointID, Version: version, Seq: seq})
}

func (s *Feed) put(row *ledger.EndpointRow, version ledger.EndpointVersion, seq int64, tx *source.Unsettled) {
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
		s.known[row.ID] = &known{status: row.Status, verified: row.Verified}
		return
	case old.status != row.Status:
		old.status = row.Status
		s.flush(tx)
		s.dispatcher.SetState(row.ID, row.State())
		s.log.Info().Str("endpoint", row.ID).Str("status", row.Status).Str("reason", row.DisabledReason).Msg("endpoint changed its status")
	}
	if old.verified != row.Verified {
		old.verified = row.Verified
		s.flush(tx)
		s.dispatcher.SetVerified(row.ID, row.Verified)
	}
}

// replace has an endpoint made anew of its row.
func (s *Feed) replace(row *ledger.EndpointRow, old *known, sum [sha256.Size]byte, version ledger.EndpointVersion, seq int64) *known {
	e, sender, err := s.maker.endpoint(row)
	if err != nil {
		logBlocked(s.log, row.ID, err)
	}
	k := &known{sum: sum, status: row.Status, verified: row.Verified, sender: sender}
	if old != nil {
		old.close()
		k.status, k.verified = old.status, old.verified
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
func (s *Feed) flush(tx *source.Unsettled) {
	if s == nil || len(s.pending) == 0 {
		return
	}
	s.dispatcher.Change(s.pending, tx)
	clear(s.pending)
	s.pending = s.pending[:0]
}

// endpoint makes the endpoint of a row. One that cannot be used is given too, Blocked, with the
// reason.
func (m *maker) endpoint(row *ledger.EndpointRow) (dispatch.Endpoint, closer, error) {
	e := dispatch.Endpoint{State: row.State(), Streamed: true}
	var err error
	e.Config, err = ledger.DecodeEndpoint(*row)
	ledger.Pin(&e.Config, row, m.versions) // the rules report one that is not known
	sealed, sealedErr := m.open(row)
	for _, s := range sealed.Secrets {
		e.Config.Secrets = append(e.Config.Secrets, s.Secret)
	}
	sealed.Give(&e.Config)
	if err = errors.Join(err, sealedErr); err == nil {
		if diags := config.ValidateEndpoint(&e.Config, m.network, m.versions); diags.HasErrors() {
			err = diags
		}
	} else {
		_ = config.ValidateEndpoint(&e.Config, m.network, m.versions) // for the defaults
	}
	var sender closer
	if err == nil {
		sender, err = m.sender(&e, sealed.Secrets)
	}
	if err != nil {
		e.Blocked, e.Sender = true, nil
	}
	e.Proof = e.Config.Proof()
	slim(&e.Config)
	return e, sender, err
}

// open returns what is sealed of a row.
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
	e.Auth, e.TLS = config.Auth{}, config.ClientTLS{}
}
