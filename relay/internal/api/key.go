package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Key is a key to the API.
type Key struct {
	ID         string     `json:"id" doc:"Identity."`
	Name       string     `json:"name" doc:"Name for people."`
	Secret     string     `json:"secret,omitempty" doc:"What callers send as Authorization: Bearer; only in the answer of the call that made the key."`
	Prefix     string     `json:"prefix,omitempty" doc:"First characters of the secret."`
	Source     string     `json:"source" enum:"config,api" doc:"Who declares it: the configuration file or the API."`
	Scopes     []string   `json:"scopes" nullable:"false" doc:"What it may do. To write includes to read."`
	Tenant     string     `json:"tenant,omitempty" doc:"Nothing of other tenants exists for it."`
	CreatedBy  string     `json:"created_by" doc:"Id of the key that made it."`
	CreatedAt  time.Time  `json:"created_at" doc:"Of a key of the configuration: when it was first used or listed."`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"To the minute; missing: never."`
}

// NewKey is the request for a new key.
type NewKey struct {
	Name   string   `json:"name" minLength:"1" maxLength:"200" doc:"Name for people."`
	Scopes []string `json:"scopes,omitempty" maxItems:"16" enum:"endpoints:read,endpoints:write,secrets:write,deliveries:read,deliveries:write,payloads:read,keys:write,portal:write" doc:"What it may do. Default: what the key that makes it may."`
	Tenant string   `json:"tenant,omitempty" maxLength:"200" doc:"Bind it to this tenant. Default: what the key that makes it is bound to."`
}

func showKey(k *query.Key) Key {
	return Key{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Source: k.Source, Scopes: append([]string{}, k.Scopes...), Tenant: k.Tenant,
		CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt.UTC(), LastUsedAt: k.LastUsedAt,
	}
}

type listKeysInput struct {
	Paged
}

func listKeys(ctx context.Context, s *Server, p *principal, in *listKeysInput) (*pageOutput[Key], error) {
	after, err := readCursor[query.Position](in.Cursor)
	if err != nil {
		return nil, err
	}
	configured := s.config().API.Keys
	keys, ids := make([]query.Key, len(configured)), make([]string, len(configured))
	for i := range configured {
		keys[i], ids[i] = configKey(&configured[i]), ConfigKeyID(&configured[i])
	}
	if err := s.store.NoteKeys(ctx, keys, s.now()); err != nil {
		s.log.Warn().Err(err).Msg("the list of keys may lack some of the configuration")
	}
	rows, err := s.store.Keys(ctx, p.tenant(), ids, after, in.limit()+1)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.limit(), showKey, func(k *query.Key) query.Position { return query.Position{At: k.CreatedAt, ID: k.ID} })
}

type createKeyInput struct {
	Repeatable

	Body NewKey
}

type keyOutput struct {
	Body Key
}

func createKey(ctx context.Context, _ *Server, c *query.Change, p *principal, in *createKeyInput) (*keyOutput, error) {
	tenant, own := ownTenant(p, in.Body.Tenant)
	if !own {
		return nil, invalid(at("/tenant", "This key is bound to another tenant: leave tenant out."))
	}
	if err := config.CheckName(in.Body.Name); err != nil {
		return nil, invalid(at("/name", "%s", sentence(err.Error())))
	}
	scopes := in.Body.Scopes
	if len(scopes) == 0 {
		scopes = p.key.Scopes
	}
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	for i, scope := range in.Body.Scopes {
		if !p.may(scope) {
			return nil, problem(http.StatusForbidden, "A key cannot grant a scope that it lacks.", at("/scopes/"+itoa(i), "This key lacks %s.", scope))
		}
	}
	secret := newKeySecret()
	key := query.Key{ID: newID("key_"), Name: in.Body.Name, Prefix: secret[:shownPrefix], Scopes: scopes, Tenant: tenant}
	if err := c.CreateKey(ctx, &key, hashOf(secret)); err != nil {
		return nil, err
	}
	out := &keyOutput{Body: showKey(&key)}
	if err := c.Audit(ctx, "key.create", key.ID, key.Tenant, nil, out.Body); err != nil {
		return nil, err
	}
	out.Body.Secret = secret
	return out, nil
}

type deleteKeyInput struct {
	ID string `path:"id" maxLength:"200" doc:"Id of the key."`
}

func deleteKey(ctx context.Context, _ *Server, c *query.Change, p *principal, in *deleteKeyInput) (*deletedOutput, error) {
	key, err := c.Key(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if key.Source == query.SourceConfig {
		return nil, problem(http.StatusConflict, "This key is declared in the api block of the configuration: remove it there.")
	}
	if err := c.DeleteKey(ctx, key.ID); err != nil {
		return nil, err
	}
	return &deletedOutput{Body: Deleted{ID: key.ID, Deleted: true}}, c.Audit(ctx, "key.delete", key.ID, key.Tenant, showKey(&key), nil)
}
