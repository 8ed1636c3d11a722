package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/signature"
)

// The grace of a secret that was replaced.
const (
	defaultGrace = 24 * time.Hour
	maxGrace     = 7 * 24 * time.Hour
	// maxSecrets bounds the secrets that sign at once: each is a signature in every request.
	maxSecrets = 5
)

const keyPairPrefix = "whsk_"

// chosenSecret returns the secret that was brought, or makes one.
func chosenSecret(s *settler, brought, secretType string) config.Secret {
	switch {
	case brought != "" && secretType != "":
		s.fail("/secret_type", "Give either a secret, or the type of a new one.")
		return config.NewSecret(brought)
	case brought != "":
		return config.NewSecret(brought)
	case secretType == "whsk":
		private, _ := signature.GenerateKeyPair()
		return config.NewSecret(private)
	}
	return config.NewSecret(signature.GenerateSecret())
}

// publicKey returns the public key of a key pair, nothing for a shared secret.
func publicKey(secret config.Secret) string {
	if !strings.HasPrefix(secret.Reveal(), keyPairPrefix) {
		return ""
	}
	public, err := signature.PublicKey(secret.Reveal())
	if err != nil {
		return "" // it was checked when it was taken
	}
	return public
}

// sealRow encrypts what is secret into the row of an endpoint.
func sealRow(s *Server, row *ledger.EndpointRow, sealed ledger.Sealed) error {
	text, err := ledger.EncodeSealed(sealed)
	if err != nil {
		return err
	}
	row.Secrets, err = s.keyring().Seal(text, []byte(row.ID))
	return err
}

// unsealRow decrypts what is secret of a row.
func unsealRow(s *Server, row *ledger.EndpointRow) (ledger.Sealed, error) {
	if row.Secrets == nil {
		return ledger.Sealed{}, fmt.Errorf("endpoint %q: %w", row.ID, errNoSecrets)
	}
	text, err := s.keyring().Open(row.Secrets, []byte(row.ID))
	if err != nil {
		return ledger.Sealed{}, fmt.Errorf("open the secrets of endpoint %q: %w", row.ID, err)
	}
	sealed, err := ledger.DecodeSealed(row, text)
	if err != nil {
		return ledger.Sealed{}, fmt.Errorf("endpoint %q: %w", row.ID, err)
	}
	return sealed, nil
}

// live returns the secrets that sign at a time.
func live(secrets []ledger.EndpointSecret, now time.Time) []config.Secret {
	out := make([]config.Secret, 0, len(secrets))
	for i := range secrets {
		if e := secrets[i].ExpiresAt; e.IsZero() || e.After(now) {
			out = append(out, secrets[i].Secret)
		}
	}
	return out
}

// NewSecret is the replacement of a secret.
type NewSecret struct {
	Secret     string `json:"secret,omitempty" maxLength:"512" doc:"A signing secret of your own. Default: a new one." writeOnly:"true"`
	SecretType string `json:"secret_type,omitempty" enum:"whsec,whsk" doc:"What a new secret is. Default: what the old one is."`
	Grace      string `json:"grace,omitempty" doc:"For how long the old secret signs too: 0s to 168h. Default: 24h. Where the scheme has room for one signature (github), the old secret signs alone until then." example:"24h"`
}

type rotateSecretInput struct {
	EndpointID
	Repeatable
	Conditional

	Body *NewSecret
}

// RotatedSecret is the new secret of an endpoint.
type RotatedSecret struct {
	ID                string     `json:"id" doc:"Id of the endpoint."`
	Secret            string     `json:"secret" doc:"The new signing secret; never shown again."`
	SecretPrefix      string     `json:"secret_prefix,omitempty" doc:"Its first 12 characters."`
	PublicKey         string     `json:"public_key,omitempty" doc:"The public key (whpk_) of a key pair."`
	RotatedAt         time.Time  `json:"rotated_at"`
	SignsFrom         time.Time  `json:"signs_from" doc:"When the new secret begins to sign: now, or when the old one ends, where the scheme of the endpoint has room for one signature (github)."`
	PreviousExpiresAt *time.Time `json:"previous_expires_at,omitempty" doc:"Until when the old secret signs; missing: it does not."`
}

type rotatedOutput struct {
	ETag string `header:"ETag" doc:"The version of the endpoint, for If-Match."`
	Body RotatedSecret
}

func rotateSecret(ctx context.Context, s *Server, c *query.Change, p *principal, in *rotateSecretInput) (*rotatedOutput, error) {
	row, err := own(ctx, c, p, in.ID, &in.Conditional)
	if err != nil {
		return nil, err
	}
	before := auditedRow(s, &row)
	body := in.Body
	if body == nil {
		body = &NewSecret{}
	}
	grace, err := graceOf(body.Grace)
	if err != nil {
		return nil, err
	}
	sealed, err := unsealRow(s, &row)
	if err != nil {
		return nil, err
	}
	next, err := nextSecret(s, &row, body, sealed, c.Now())
	if err != nil {
		return nil, err
	}
	sealed.Secrets = rotated(next, sealed.Secrets, c.Now(), grace)
	if err := sealRow(s, &row, sealed); err != nil {
		return nil, err
	}
	if err := row.HideHeaders(); err != nil {
		return nil, err
	}
	row.SecretPrefix = ledger.SecretPrefix(next)
	if err := c.SaveEndpoint(ctx, &row); err != nil {
		return nil, err
	}
	after := auditedRow(s, &row)
	if err := c.Audit(ctx, "endpoint.rotate_secret", row.ID, row.Tenant, before, after); err != nil {
		return nil, err
	}
	out := &rotatedOutput{ETag: etag(row.Version), Body: RotatedSecret{
		ID: row.ID, Secret: next.Reveal(), SecretPrefix: row.SecretPrefix, PublicKey: publicKey(next), RotatedAt: c.Now(), SignsFrom: c.Now(),
	}}
	if len(sealed.Secrets) > 1 {
		out.Body.PreviousExpiresAt = &sealed.Secrets[1].ExpiresAt
		if cfg := decodeRow(s, &row); signature.Scheme(cfg.Signature).Single() {
			for i := range sealed.Secrets { // they sign one after the other, the oldest first
				out.Body.SignsFrom = later(out.Body.SignsFrom, sealed.Secrets[i].ExpiresAt)
			}
		}
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// nextSecret returns the secret that follows, checked by the rules of the configuration.
func nextSecret(s *Server, row *ledger.EndpointRow, body *NewSecret, sealed ledger.Sealed, now time.Time) (config.Secret, error) {
	e, err := ledger.DecodeEndpoint(*row)
	if err != nil {
		return config.Secret{}, fmt.Errorf("decode endpoint %q: %w", row.ID, err)
	}
	ledger.Pin(&e, row, s.config().Versions)
	sealed.Give(&e)
	old := sealed.Secrets
	kind := body.SecretType
	if kind == "" && body.Secret == "" && len(old) > 0 && strings.HasPrefix(old[0].Secret.Reveal(), keyPairPrefix) {
		kind = "whsk"
	}
	set := settler{e: &e}
	next := chosenSecret(&set, body.Secret, kind)
	for _, secret := range live(old, now) {
		if secret.Equal(next) {
			return next, problem(http.StatusConflict, "The endpoint has this secret already: rotate to another one.")
		}
	}
	e.Secrets = []config.Secret{next}
	return next, set.finish(s.config())
}

func graceOf(text string) (time.Duration, error) {
	if text == "" {
		return defaultGrace, nil
	}
	grace, err := time.ParseDuration(text)
	if err != nil || grace < 0 || grace > maxGrace {
		return 0, invalid(at("/grace", `Write a duration from "0s" to "168h".`))
	}
	return grace, nil
}

// rotated puts a secret in front of those that sign still, for the grace at most.
func rotated(next config.Secret, old []ledger.EndpointSecret, now time.Time, grace time.Duration) []ledger.EndpointSecret {
	secrets := []ledger.EndpointSecret{{Secret: next}}
	until := now.Add(grace)
	for _, o := range old {
		if o.ExpiresAt.IsZero() || o.ExpiresAt.After(until) {
			o.ExpiresAt = until
		}
		if o.ExpiresAt.After(now) && len(secrets) < maxSecrets {
			secrets = append(secrets, o)
		}
	}
	return secrets
}
