package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// NamedEndpoint is the endpoint that should exist under a name.
type NamedEndpoint struct {
	EndpointSettings

	URL        string  `json:"url" minLength:"1" maxLength:"2048" doc:"Where requests go." example:"https://example.com/webhooks"`
	Secret     string  `json:"secret,omitempty" maxLength:"512" doc:"A signing secret of your own. Default: a new one for a new endpoint, and the one that it has for another." writeOnly:"true"`
	SecretType string  `json:"secret_type,omitempty" enum:"whsec,whsk" doc:"What the new secret of a new endpoint is: shared (whsec, HMAC-SHA256) or a key pair (whsk, Ed25519). Default: whsec."`
	Status     *string `json:"status,omitempty" enum:"active,paused,disabled" doc:"Default: active for a new endpoint, what it is for another."`
}

type putEndpointInput struct {
	Conditional
	Repeatable

	Name   string `query:"name" required:"true" minLength:"1" maxLength:"200" doc:"Name of the endpoint, among those of its tenant that were made through the API."`
	Tenant string `query:"tenant" maxLength:"200" doc:"Tenant of the endpoint. Default: that of the key; without one, none: every tenant's events."`

	Body NamedEndpoint
}

type putEndpointOutput struct {
	Status int
	ETag   string `header:"ETag" doc:"The version, for If-Match."`
	Body   Endpoint
}

// putEndpoint makes the endpoint of a name, or replaces the settings of the one that there is, so
// that a set-up script can run twice. One that is as asked for is left alone: its version stays,
// and the audit has no row.
func putEndpoint(ctx context.Context, s *Server, c *query.Change, p *principal, in *putEndpointInput) (*putEndpointOutput, error) {
	tenant, own := ownTenant(p, in.Tenant)
	switch {
	case !own:
		return nil, invalid(of("tenant", "This key is bound to another tenant: leave tenant out."))
	case in.Body.Name != nil && *in.Body.Name != in.Name:
		return nil, invalid(at("/name", "The query names the endpoint: leave name out, or write the same."))
	}
	in.Body.Name = &in.Name
	rows, err := c.NamedEndpoints(ctx, tenant, in.Name)
	if err != nil {
		return nil, err
	}
	switch len(rows) {
	case 0:
		if in.IfMatch != "" {
			return nil, query.ErrStale
		}
		out, err := createRow(ctx, s, c, p, &NewEndpoint{
			EndpointSettings: in.Body.EndpointSettings, URL: in.Body.URL, Tenant: tenant, Secret: in.Body.Secret, SecretType: in.Body.SecretType,
		}, in.Body.Status)
		if err != nil {
			return nil, err
		}
		return &putEndpointOutput{Status: http.StatusCreated, ETag: out.ETag, Body: out.Body}, nil
	case 1:
		if err := in.check(rows[0].Version); err != nil {
			return nil, err
		}
		out, err := putOver(ctx, s, c, p, &rows[0], &in.Body)
		if err != nil {
			return nil, err
		}
		return &putEndpointOutput{Status: http.StatusOK, ETag: out.ETag, Body: out.Body}, nil
	}
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return nil, problem(http.StatusConflict, fmt.Sprintf("Several endpoints have this name: %s. Change one by its id, or give the others another name.", strings.Join(ids, ", ")))
}

// putOver replaces the settings of an endpoint.
func putOver(ctx context.Context, s *Server, c *query.Change, p *principal, row *ledger.EndpointRow, in *NamedEndpoint) (*endpointOutput, error) {
	e := replaced(s, row)
	set := settler{e: &e}
	var err error
	if set.sealed, err = unsealRow(s, row); err != nil {
		return nil, err
	}
	was, before := set.sealed, auditedRow(s, row) // before the URL moves, and what was sealed for another receiver goes
	if in.Secret != "" && (len(was.Secrets) == 0 || was.Secrets[0].Secret.Reveal() != in.Secret) {
		set.fail("/secret", "The endpoint has another secret, which has to sign for a while longer: leave secret out, and rotate it.")
	}
	set.moveTo(in.URL)
	set.apply(&in.EndpointSettings)
	if err := fillRow(ctx, s, c, p, row, &set, in.Status); err != nil {
		return nil, err
	}
	is := ledger.Sealed{Secrets: set.sealed.Secrets, Headers: e.Headers, Auth: e.Auth, TLS: e.TLS}
	if reflect.DeepEqual(before, auditedRow(s, row)) && sameSealed(&was, &is) {
		return shownRow(ctx, s, c, row)
	}
	return overwriteRow(ctx, s, c, row, &before, "endpoint.replace")
}

// sameSealed reports whether two endpoints have the same secrets, headers and certificates; none
// and an empty list of them are the same.
func sameSealed(a, b *ledger.Sealed) bool {
	return reflect.DeepEqual(a.Secrets, b.Secrets) && maps.Equal(a.Headers, b.Headers) && reflect.DeepEqual(a.Auth, b.Auth) && reflect.DeepEqual(a.TLS, b.TLS)
}
