package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// EndpointID is the part of a request that names an endpoint.
type EndpointID struct {
	ID string `path:"id" maxLength:"200" doc:"Id of the endpoint."`
}

// endpointOutput is the answer with an endpoint.
type endpointOutput struct {
	ETag string `header:"ETag" doc:"The version, for If-Match."`
	Body Endpoint
}

// newID makes an id that nobody guesses: 128 random bits or more.
func newID(prefix string) string { return prefix + rand.Text() }

// decodeRow returns the settings of a row. What cannot be read of a row that another version wrote
// is left out.
func decodeRow(s *Server, row *ledger.EndpointRow) config.Endpoint {
	cfg, err := ledger.DecodeEndpoint(*row)
	if err != nil {
		s.log.Warn().Err(err).Str("endpoint", row.ID).Msg("part of an endpoint's row cannot be read and is left out: another version of tailpost wrote it")
	}
	ledger.Pin(&cfg, row, s.config().Versions)
	if row.Source == ledger.SourceConfig { // whose row shows no secret of its URL
		for i := range s.config().Endpoints {
			if e := &s.config().Endpoints[i]; e.ID == row.ID {
				cfg.URL = e.URL
			}
		}
	}
	return cfg
}

func showEndpoint(s *Server, row *ledger.EndpointRow, stats query.Stats) *endpointOutput {
	cfg := decodeRow(s, row)
	return &endpointOutput{ETag: etag(row.Version), Body: show(row, &cfg, stats)}
}

// auditedRow returns an endpoint as audit rows keep it.
func auditedRow(s *Server, row *ledger.EndpointRow) Endpoint {
	cfg := decodeRow(s, row)
	return show(row, &cfg, query.Stats{})
}

type listEndpointsInput struct {
	Paged

	Name    string `query:"name" maxLength:"200" doc:"Only those of this name, in capitals or not. Names are not unique: tenants choose their own."`
	Status  string `query:"status" enum:"active,paused,disabled" doc:"Only those of this status."`
	Source  string `query:"source" enum:"config,api" doc:"Only those that it declares."`
	Tenant  string `query:"tenant" maxLength:"200" doc:"Only those of this tenant."`
	Trouble bool   `query:"trouble" doc:"Only those that are not active, or that fail since their last success."`
	Stats   bool   `query:"stats" default:"true" doc:"false: their counters stay 0, which is quicker to read."`
}

// ownTenant is the tenant that a request is about: that of the key, or the one that a key bound to
// none asks for. Found is false where a key asks for another tenant than its own.
func ownTenant(p *principal, asked string) (tenant string, found bool) {
	switch {
	case p.tenant() == "":
		return asked, true
	case asked == "" || asked == p.tenant():
		return p.tenant(), true
	}
	return "", false
}

func endpointPosition(row *ledger.EndpointRow) query.Position {
	return query.Position{At: row.CreatedAt, ID: row.ID}
}

func listEndpoints(ctx context.Context, s *Server, p *principal, in *listEndpointsInput) (*pageOutput[Endpoint], error) {
	after, err := readCursor[query.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	tenant, found := ownTenant(p, in.Tenant)
	if !found {
		return &pageOutput[Endpoint]{Body: Page[Endpoint]{Data: []Endpoint{}}}, nil
	}
	rows, err := s.store.Endpoints(ctx, query.EndpointQuery{
		Tenant: tenant, Name: in.Name, Status: in.Status, Source: in.Source, Trouble: in.Trouble, After: after, Limit: in.limit() + 1,
	})
	if err != nil {
		return nil, err
	}
	var stats map[string]query.Stats
	if in.Stats {
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		if stats, err = s.store.Totals(ctx, ids); err != nil {
			return nil, err
		}
	}
	return paged(rows, in.limit(), func(row *ledger.EndpointRow) Endpoint {
		cfg := decodeRow(s, row)
		return show(row, &cfg, stats[row.ID])
	}, endpointPosition)
}

func getEndpoint(ctx context.Context, s *Server, p *principal, in *EndpointID) (*endpointOutput, error) {
	row, err := s.store.Endpoint(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	stats, err := s.store.Totals(ctx, []string{row.ID})
	if err != nil {
		return nil, err
	}
	out := showEndpoint(s, &row, stats[row.ID])
	if s.admission != nil {
		if a, ok := s.admission(row.ID); ok {
			out.Body.Admission = &a
		}
	}
	return out, nil
}

type createEndpointInput struct {
	Repeatable

	Body NewEndpoint
}

func createEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *createEndpointInput) (*endpointOutput, error) {
	return createRow(ctx, s, c, p, &in.Body, nil)
}

// createRow makes an endpoint; a nil status is active.
func createRow(ctx context.Context, s *Server, c *query.Change, p *principal, in *NewEndpoint, status *string) (*endpointOutput, error) {
	tenant, own := ownTenant(p, in.Tenant)
	if !own {
		return nil, invalid(at("/tenant", "This key is bound to another tenant: leave tenant out."))
	}
	e := config.Endpoint{ID: newID("ep_"), URL: in.URL, Tenant: tenant}
	set := settler{e: &e}
	set.apply(&in.EndpointSettings)
	secret := chosenSecret(&set, in.Secret, in.SecretType)
	set.sealed.Secrets = []ledger.EndpointSecret{{Secret: secret}}
	row := ledger.EndpointRow{
		ID: e.ID, Tenant: e.Tenant, Status: ledger.StatusActive, Source: ledger.SourceAPI, SecretPrefix: ledger.SecretPrefix(secret),
	}
	if err := fillRow(ctx, s, c, p, &row, &set, status); err != nil {
		return nil, err
	}
	if err := c.CreateEndpoint(ctx, &row); err != nil {
		return nil, err
	}
	if err := c.Audit(ctx, "endpoint.create", row.ID, row.Tenant, nil, auditedRow(s, &row)); err != nil {
		return nil, err
	}
	out := showEndpoint(s, &row, query.Stats{})
	out.Body.Secret, out.Body.PublicKey = secret.Reveal(), publicKey(secret)
	return out, nil
}

// own reads an endpoint that the API may change.
func own(ctx context.Context, c *query.Change, p *principal, id string, conditional *Conditional) (ledger.EndpointRow, error) {
	row, err := c.Endpoint(ctx, p.tenant(), id)
	if err != nil {
		return row, err
	}
	if row.Source != ledger.SourceAPI {
		place := "in the configuration file"
		if row.Origin != "" {
			place = "at " + row.Origin
		}
		return row, problem(http.StatusConflict, fmt.Sprintf("Endpoint %q is declared %s: change it there. Only pause, resume, enable and test work here.", row.ID, place))
	}
	return row, conditional.check(row.Version)
}

type updateEndpointInput struct {
	EndpointID
	Conditional

	Body    EndpointPatch
	RawBody []byte
}

func updateEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *updateEndpointInput) (*endpointOutput, error) {
	row, err := own(ctx, c, p, in.ID, &in.Conditional)
	if err != nil {
		return nil, err
	}
	e, err := ledger.DecodeEndpoint(row)
	if err != nil {
		return nil, fmt.Errorf("decode endpoint %q: %w", row.ID, err)
	}
	ledger.Pin(&e, &row, s.config().Versions) // before null pins the newest
	set := settler{e: &e}
	if set.sealed, err = unsealRow(s, &row); err != nil {
		return nil, err
	}
	if in.Body.URL != nil {
		set.requireRestated(*in.Body.URL, in.RawBody)
		set.moveTo(*in.Body.URL)
	}
	set.sealed.Give(&e)
	set.reset(nulls(in.RawBody))
	set.apply(&in.Body.EndpointSettings)
	return saveRow(ctx, s, c, p, &row, &set, in.Body.Status, "endpoint.update")
}

type replaceEndpointInput struct {
	EndpointID
	Conditional

	Body EndpointReplacement
}

func replaceEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *replaceEndpointInput) (*endpointOutput, error) {
	row, err := own(ctx, c, p, in.ID, &in.Conditional)
	if err != nil {
		return nil, err
	}
	e := replaced(s, &row)
	set := settler{e: &e}
	if set.sealed, err = unsealRow(s, &row); err != nil {
		return nil, err
	}
	set.moveTo(in.Body.URL)
	set.apply(&in.Body.EndpointSettings)
	return saveRow(ctx, s, c, p, &row, &set, in.Body.Status, "endpoint.replace")
}

// replaced is an endpoint whose settings are all to be replaced: with what stays.
func replaced(s *Server, row *ledger.EndpointRow) config.Endpoint {
	was := decodeRow(s, row)
	return config.Endpoint{ID: row.ID, URL: row.URL, Tenant: row.Tenant, Version: was.Version}
}

// saveRow writes the settings of an endpoint over its row.
func saveRow(ctx context.Context, s *Server, c *query.Change, p *principal, row *ledger.EndpointRow, set *settler, status *string, action string) (*endpointOutput, error) {
	before := auditedRow(s, row)
	if err := fillRow(ctx, s, c, p, row, set, status); err != nil {
		return nil, err
	}
	return overwriteRow(ctx, s, c, row, &before, action)
}

// fillRow puts settings that are in order into a row.
func fillRow(ctx context.Context, s *Server, c *query.Change, p *principal, row *ledger.EndpointRow, set *settler, status *string) error {
	e := set.e
	e.Secrets = live(set.sealed.Secrets, c.Now())
	if p.key.Source == query.SourcePortal {
		guardPortal(s, row, set)
	}
	err := set.finish(s.config())
	if err != nil {
		return err
	}
	if err := checkQuota(ctx, s, c, p, e); err != nil {
		return err
	}
	if err := sealRow(s, row, ledger.Sealed{Secrets: set.sealed.Secrets, Headers: e.Headers, Auth: e.Auth, TLS: e.TLS}); err != nil {
		return err
	}
	row.Name, row.URL, row.Description = e.Name, e.URL, e.Description
	if row.Subscriptions, row.Policy, err = ledger.EncodeEndpoint(*e); err != nil {
		return err
	}
	if status != nil {
		setStatus(row, *status)
	}
	return nil
}

// overwriteRow saves a row that was something else before.
func overwriteRow(ctx context.Context, s *Server, c *query.Change, row *ledger.EndpointRow, before *Endpoint, action string) (*endpointOutput, error) {
	if err := c.SaveEndpoint(ctx, row); err != nil {
		return nil, err
	}
	if err := c.Audit(ctx, action, row.ID, row.Tenant, before, auditedRow(s, row)); err != nil {
		return nil, err
	}
	return shownRow(ctx, s, c, row)
}

// shownRow is the answer with an endpoint that a change has read.
func shownRow(ctx context.Context, s *Server, c *query.Change, row *ledger.EndpointRow) (*endpointOutput, error) {
	stats, err := c.Totals(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	return showEndpoint(s, row, stats), nil
}

// disabledByPerson is the reason of an endpoint that nobody but a person disabled.
const disabledByPerson = "disabled through the API"

func setStatus(row *ledger.EndpointRow, status string) {
	if row.Status == status {
		return
	}
	if row.Status == ledger.StatusDisabled && status == ledger.StatusActive {
		row.FailingSince = time.Time{} // what it was disabled for is over; a pause ends nothing
	}
	row.Status, row.DisabledReason = status, ""
	if status == ledger.StatusDisabled {
		row.DisabledReason = disabledByPerson
	}
}

type deleteEndpointInput struct {
	EndpointID
	Conditional
}

// Deleted says that something is gone.
type Deleted struct {
	ID      string `json:"id" doc:"What is gone."`
	Deleted bool   `json:"deleted" doc:"True."`
}

type deletedOutput struct {
	Body Deleted
}

func deleteEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *deleteEndpointInput) (*deletedOutput, error) {
	row, err := own(ctx, c, p, in.ID, &in.Conditional)
	if err != nil {
		return nil, err
	}
	discarded, err := c.DeleteEndpoint(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	after := map[string]any{"discarded_deliveries": discarded}
	if err := c.Audit(ctx, "endpoint.delete", row.ID, row.Tenant, auditedRow(s, &row), after); err != nil {
		return nil, err
	}
	return &deletedOutput{Body: Deleted{ID: row.ID, Deleted: true}}, nil
}

type endpointStateInput struct {
	EndpointID
	Repeatable
}

func pauseEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *endpointStateInput) (*endpointOutput, error) {
	return switchStatus(ctx, s, c, p, in.ID, ledger.StatusPaused, "endpoint.pause")
}

func resumeEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *endpointStateInput) (*endpointOutput, error) {
	return switchStatus(ctx, s, c, p, in.ID, ledger.StatusActive, "endpoint.resume")
}

func enableEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *endpointStateInput) (*endpointOutput, error) {
	return switchStatus(ctx, s, c, p, in.ID, ledger.StatusActive, "endpoint.enable")
}

// switchStatus changes the status, of endpoints of the configuration too: it is no setting.
func switchStatus(ctx context.Context, s *Server, c *query.Change, p *principal, id, status, action string) (*endpointOutput, error) {
	row, err := c.Endpoint(ctx, p.tenant(), id)
	if err != nil {
		return nil, err
	}
	before := auditedRow(s, &row)
	switch {
	case row.Status == status: // nothing to do, and nothing wrong
	case row.Status == ledger.StatusDisabled && row.DisabledReason == ledger.ReasonRemoved:
		return nil, problem(http.StatusConflict, "The configuration no longer has this endpoint: it comes back when the configuration does.")
	case row.Status == ledger.StatusDisabled && action != "endpoint.enable":
		return nil, problem(http.StatusConflict, "The endpoint is disabled: enable it instead.")
	case row.Status == ledger.StatusPaused && action == "endpoint.enable":
		return nil, problem(http.StatusConflict, "The endpoint is paused, not disabled: resume it instead.")
	default:
		setStatus(&row, status)
		return overwriteRow(ctx, s, c, &row, &before, action)
	}
	return shownRow(ctx, s, c, &row)
}

// errNoSecrets is a row without secrets that should have some.
var errNoSecrets = errors.New("the endpoint has no secrets")
