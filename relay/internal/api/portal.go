package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// PortalRoot is the path under which the customer portal is served.
const PortalRoot = "/portal/"

// portalPrefix begins the id of a Key that stands for a link.
const portalPrefix = "portal:"

// The bounds of a link's life.
const (
	minLinkLife     = time.Hour
	maxLinkLife     = 7 * 24 * time.Hour
	defaultLinkLife = 24 * time.Hour
)

// linkContext is the context that links are sealed for: nothing else that is sealed opens as one.
const linkContext = "tailpost portal link"

// The capabilities of a link.
const (
	CapabilityView            = "view"
	CapabilityResend          = "resend"
	CapabilityManageEndpoints = "manage_endpoints"
	CapabilityManageSecrets   = "manage_secrets"
)

// Capabilities lists all, the first of which every link has.
func Capabilities() []string {
	return []string{CapabilityView, CapabilityResend, CapabilityManageEndpoints, CapabilityManageSecrets}
}

// scopesOfCapability returns the scopes that a capability grants a visitor.
func scopesOfCapability(capability string) []string {
	return map[string][]string{
		CapabilityView:            {config.ScopeEndpointsRead, config.ScopeDeliveriesRead, config.ScopePayloadsRead},
		CapabilityResend:          {config.ScopeDeliveriesWrite},
		CapabilityManageEndpoints: {config.ScopeEndpointsWrite},
		CapabilityManageSecrets:   {config.ScopeSecretsWrite},
	}[capability]
}

// PortalLink lets the people of one tenant into the customer portal.
type PortalLink struct {
	ID           string     `json:"id" doc:"Identity."`
	URL          string     `json:"url,omitempty" doc:"The link itself; only in the answer of the call that made it. Anyone who has it can sign in: send it only to the visitor."`
	Tenant       string     `json:"tenant" doc:"Nothing of other tenants exists for its visitors."`
	Capabilities []string   `json:"capabilities" nullable:"false" doc:"What visitors may do."`
	RefreshURL   string     `json:"refresh_url,omitempty" doc:"Where a visitor is sent once the link is over; missing: where the configuration says."`
	CreatedBy    string     `json:"created_by" doc:"Id of the key that made it. The link can do no more than that key by now, and ends with it."`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    time.Time  `json:"expires_at" doc:"When it ends, with the sessions that it opened."`
	LastUsedAt   *time.Time `json:"last_used_at,omitempty" doc:"To the minute; missing: never."`
}

// NewPortalLink is the request for a link.
type NewPortalLink struct {
	Tenant       string   `json:"tenant,omitempty" maxLength:"200" doc:"Whose portal it opens. Default: the tenant that the key is bound to; needed for other keys."`
	Capabilities []string `json:"capabilities,omitempty" maxItems:"4" enum:"view,resend,manage_endpoints,manage_secrets" doc:"What visitors may do: view (endpoints, log, catalogue), resend, manage_endpoints, manage_secrets (rotate them). Every link has view. Default: view."`
	ExpiresIn    string   `json:"expires_in,omitempty" maxLength:"20" doc:"From 1h to 168h. Default: 24h." example:"24h"`
	RefreshURL   string   `json:"refresh_url,omitempty" maxLength:"2000" doc:"Where a visitor is sent once the link is over, for a page of yours that makes another one. Default: that of the configuration."`
}

func showPortalLink(l *query.PortalLink) PortalLink {
	return PortalLink{
		ID: l.ID, Tenant: l.Tenant, Capabilities: append([]string{}, l.Capabilities...), RefreshURL: l.RefreshURL, CreatedBy: l.CreatedBy,
		CreatedAt: l.CreatedAt.UTC(), ExpiresAt: l.ExpiresAt.UTC(), LastUsedAt: l.LastUsedAt,
	}
}

type createPortalLinkInput struct {
	Repeatable

	Body NewPortalLink

	address string // by which the API was called
}

// Resolve implements huma.Resolver.
func (in *createPortalLinkInput) Resolve(ctx huma.Context) []error {
	scheme := "http"
	if ctx.TLS() != nil || ctx.Header("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	in.address = scheme + "://" + ctx.Host()
	return nil
}

type portalLinkOutput struct {
	Body PortalLink
}

func createPortalLink(ctx context.Context, s *Server, c *query.Change, p *principal, in *createPortalLinkInput) (*portalLinkOutput, error) {
	link, refusal := s.newPortalLink(p, &in.Body)
	if refusal != nil {
		return nil, refusal
	}
	_, fingerprint, err := s.keyByID(ctx, p.key.ID)
	if err != nil {
		return nil, err
	}
	link.ID, link.Fingerprint = newID("ptl_"), fingerprint
	if err := c.CreatePortalLink(ctx, link); err != nil {
		return nil, err
	}
	out := &portalLinkOutput{Body: showPortalLink(link)}
	if err := c.Audit(ctx, "portal_link.create", link.ID, link.Tenant, nil, out.Body); err != nil {
		return nil, err
	}
	token, err := s.linkToken(link)
	if err != nil {
		return nil, err
	}
	base := strings.TrimRight(s.config().Panel.Portal.URL, "/")
	if base == "" {
		base = in.address
	}
	out.Body.URL = base + PortalRoot + "open/" + token
	return out, nil
}

// newPortalLink checks what was asked for.
func (s *Server) newPortalLink(p *principal, in *NewPortalLink) (*query.PortalLink, *Problem) {
	tenant, own := ownTenant(p, in.Tenant)
	switch {
	case !own:
		return nil, invalid(at("/tenant", "This key is bound to another tenant: leave tenant out."))
	case tenant == "":
		return nil, invalid(at("/tenant", "Name the tenant whose portal it opens."))
	case in.RefreshURL != "" && !config.ValidRefreshURL(in.RefreshURL):
		return nil, invalid(at("/refresh_url", "Write an https:// URL; http:// only for localhost."))
	}
	life := defaultLinkLife
	if in.ExpiresIn != "" {
		var err error
		if life, err = time.ParseDuration(in.ExpiresIn); err != nil || life < minLinkLife || life > maxLinkLife {
			return nil, invalid(at("/expires_in", "Write a duration from 1h to 168h, such as 24h."))
		}
	}
	link := &query.PortalLink{Tenant: tenant, RefreshURL: in.RefreshURL, ExpiresAt: s.now().UTC().Add(life).Truncate(time.Second)}
	for _, capability := range Capabilities() {
		if capability != CapabilityView && !slices.Contains(in.Capabilities, capability) {
			continue
		}
		for _, scope := range scopesOfCapability(capability) {
			if !p.may(scope) {
				return nil, problem(http.StatusForbidden, "A link can do nothing that the key which makes it cannot.", at("/capabilities", "%s needs %s, and this key lacks it.", capability, scope))
			}
		}
		link.Capabilities = append(link.Capabilities, capability)
	}
	return link, nil
}

// linkToken returns the token that opens a link: its end and its id, sealed. Whoever reads the
// database cannot make one.
func (s *Server) linkToken(l *query.PortalLink) (string, error) {
	text := binary.BigEndian.AppendUint64(nil, uint64(l.ExpiresAt.Unix())) //nolint:gosec // after 1970
	sealed, err := s.keyring().Seal(append(text, l.ID...), []byte(linkContext))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// readLink returns the id of a link and when it ends. ok is false for what is none of ours.
func (s *Server) readLink(token string) (id string, ends time.Time, ok bool) {
	const size = 8
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", ends, false
	}
	text, err := s.keyring().Open(sealed, []byte(linkContext))
	if err != nil || len(text) <= size {
		return "", ends, false
	}
	return string(text[size:]), time.Unix(int64(binary.BigEndian.Uint64(text)), 0).UTC(), true //nolint:gosec // we wrote it
}

type listPortalLinksInput struct {
	Paged

	Tenant string `query:"tenant" maxLength:"200" doc:"Only this tenant's."`
}

func listPortalLinks(ctx context.Context, s *Server, p *principal, in *listPortalLinksInput) (*pageOutput[PortalLink], error) {
	after, err := readCursor[query.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	tenant, own := ownTenant(p, in.Tenant)
	if !own {
		return &pageOutput[PortalLink]{Body: Page[PortalLink]{Data: []PortalLink{}}}, nil
	}
	rows, err := s.store.PortalLinks(ctx, tenant, s.now().UTC(), after, in.limit()+1)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.limit(), showPortalLink, func(l *query.PortalLink) query.Position { return query.Position{At: l.CreatedAt, ID: l.ID} })
}

type deletePortalLinkInput struct {
	ID string `path:"id" maxLength:"200" doc:"Id of the link."`
}

func deletePortalLink(ctx context.Context, _ *Server, c *query.Change, p *principal, in *deletePortalLinkInput) (*deletedOutput, error) {
	link, err := c.PortalLink(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if err := c.DeletePortalLink(ctx, link.ID); err != nil {
		return nil, err
	}
	return &deletedOutput{Body: Deleted{ID: link.ID, Deleted: true}}, c.Audit(ctx, "portal_link.delete", link.ID, link.Tenant, showPortalLink(&link), nil)
}

// linkKey returns the key that a link stands for, as its maker is by now. It is ErrNotFound where
// the link or its maker is gone, the maker has another secret or tenant, or the link is over.
func (s *Server) linkKey(ctx context.Context, id string) (query.Key, []byte, error) {
	link, err := s.store.PortalLink(ctx, id)
	if err != nil {
		return query.Key{}, nil, err
	}
	if strings.HasPrefix(link.CreatedBy, portalPrefix) || !s.now().Before(link.ExpiresAt) {
		return query.Key{}, nil, query.ErrNotFound
	}
	maker, fingerprint, err := s.keyByID(ctx, link.CreatedBy)
	if err != nil {
		return query.Key{}, nil, err
	}
	if !slices.Equal(fingerprint, link.Fingerprint) || maker.Tenant != "" && maker.Tenant != link.Tenant {
		return query.Key{}, nil, query.ErrNotFound
	}
	by := principal{key: maker}
	if !by.may(config.ScopePortalWrite) {
		return query.Key{}, nil, query.ErrNotFound
	}
	key := query.Key{ID: portalPrefix + link.ID, Name: link.Tenant, Source: query.SourcePortal, Prefix: link.ID, Tenant: link.Tenant}
	for _, capability := range link.Capabilities {
		for _, scope := range scopesOfCapability(capability) {
			if by.may(scope) {
				key.Scopes = append(key.Scopes, scope)
			}
		}
	}
	return key, fingerprintOf([]byte(portalPrefix + link.ID)), nil
}

// OpenLink begins a session by a link to the customer portal. The error is a *Problem, with status
// 401 where the link is over, was revoked, or is none.
func (s *Server) OpenLink(ctx context.Context, address, token string) (*Session, error) {
	id, ends, ok := s.readLink(token)
	if !ok || !s.now().Before(ends) {
		return nil, sessionOver()
	}
	return s.Renew(ctx, portalPrefix+id, fingerprintOf([]byte(portalPrefix+id)), address)
}

// LinkOf returns the id of a session's key that a link stands for, whether or not it is over; empty
// where the text is no link of ours.
func (s *Server) LinkOf(token string) string {
	if id, _, ok := s.readLink(token); ok {
		return portalPrefix + id
	}
	return ""
}

// Portal reports whether a key's id is that of a link to the customer portal.
func Portal(keyID string) bool { return strings.HasPrefix(keyID, portalPrefix) }

// RefreshURL returns where a visitor is to be sent whose link is over: where the link says, or the
// configuration; empty: nowhere.
func (s *Server) RefreshURL(ctx context.Context, keyID string) string {
	fallback := s.config().Panel.Portal.RefreshURL
	id, ok := strings.CutPrefix(keyID, portalPrefix)
	if !ok {
		return fallback
	}
	link, err := s.store.PortalLink(ctx, id)
	switch {
	case err == nil && link.RefreshURL != "":
		return link.RefreshURL
	case err != nil && !errors.Is(err, query.ErrNotFound):
		s.log.Warn().Err(err).Msg("the refresh URL of the portal cannot be read")
	}
	return fallback
}
