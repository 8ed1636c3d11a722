package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tailpost/tailpost/config"
)

// Sealed holds the secrets of an endpoint made through the API, which the database keeps sealed.
type Sealed struct {
	Secrets []EndpointSecret // the newest first
	Headers map[string]string
	Auth    config.Auth
	TLS     config.ClientTLS
}

// Give puts what is sealed, but for the secrets that sign, into the endpoint that it belongs to.
func (s *Sealed) Give(e *config.Endpoint) { e.Headers, e.Auth, e.TLS = s.Headers, s.Auth, s.TLS }

// EndpointSecret is one of an endpoint's signing secrets.
type EndpointSecret struct {
	Secret    config.Secret
	ExpiresAt time.Time // it signs until then; zero: for as long as it is there
}

type sealedJSON struct {
	Secrets []secretJSON      `json:"secrets"`
	Headers map[string]string `json:"headers"`
	Auth    *authJSON         `json:"auth,omitempty"`
	TLS     *tlsJSON          `json:"tls,omitempty"`
}

type secretJSON struct {
	Secret    string     `json:"secret"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// EncodeSealed returns what is to be sealed into tailpost.endpoint.secrets. It holds the secrets.
func EncodeSealed(s Sealed) ([]byte, error) {
	j := sealedJSON{Secrets: make([]secretJSON, len(s.Secrets)), Headers: s.Headers, Auth: wholeAuth(&s.Auth), TLS: wholeTLS(&s.TLS)}
	for i, secret := range s.Secrets {
		j.Secrets[i] = secretJSON{Secret: secret.Secret.Reveal(), ExpiresAt: nullTime(secret.ExpiresAt)}
	}
	if j.Headers == nil {
		j.Headers = map[string]string{} // null would say that the policy has them
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, errors.New("encode what is sealed")
	}
	return text, nil
}

// DecodeSealed is EncodeSealed the other way. Of a row that was written before the values of
// headers were sealed, which has but a list of secrets there, it takes them from the policy. Its
// errors quote nothing.
func DecodeSealed(row *EndpointRow, text []byte) (Sealed, error) {
	var j sealedJSON
	if json.Unmarshal(text, &j) != nil && json.Unmarshal(text, &j.Secrets) != nil || len(j.Secrets) == 0 {
		return Sealed{}, errors.New("read what is sealed: it has no secrets")
	}
	s := Sealed{Secrets: make([]EndpointSecret, len(j.Secrets)), Headers: j.Headers, Auth: j.Auth.decode(), TLS: j.TLS.decode()}
	for i, secret := range j.Secrets {
		s.Secrets[i].Secret = config.NewSecret(secret.Secret)
		if secret.ExpiresAt != nil {
			s.Secrets[i].ExpiresAt = secret.ExpiresAt.UTC()
		}
	}
	if s.Headers == nil {
		var p policyJSON
		if json.Unmarshal(row.Policy, &p) != nil {
			return Sealed{}, errors.New("read the headers in the policy: not an object of names and values")
		}
		s.Headers = p.Headers.values
	}
	return s, nil
}

// Clear reports whether the policy of the row has values of headers, as before they were sealed.
func (r *EndpointRow) Clear() bool {
	var p policyJSON
	return json.Unmarshal(r.Policy, &p) == nil && len(p.Headers.values) > 0
}

// HideHeaders leaves of the headers in the policy their names, and nothing else as it was.
func (r *EndpointRow) HideHeaders() error {
	if !r.Clear() {
		return nil
	}
	var (
		members map[string]json.RawMessage
		headers headersJSON
	)
	err := errors.Join(json.Unmarshal(r.Policy, &members), json.Unmarshal(members["headers"], &headers))
	if err != nil {
		return fmt.Errorf("read the policy of endpoint %q: %w", r.ID, err)
	}
	if members["headers"], err = json.Marshal(headers); err != nil {
		return fmt.Errorf("encode the headers of endpoint %q: %w", r.ID, err)
	}
	if r.Policy, err = json.Marshal(members); err != nil {
		return fmt.Errorf("encode the policy of endpoint %q: %w", r.ID, err)
	}
	return nil
}
