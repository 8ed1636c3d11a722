package kit

import (
	"fmt"
	"strings"
)

// Config is a configuration in the making: what a test cares about, in a frame that every test
// needs.
type Config struct {
	DatabaseURL string
	Slot        string
	Outbox      string // attributes of the outbox block; empty: the default table
	Endpoints   []Endpoint
	More        string // further blocks
}

// Endpoint is an endpoint block.
type Endpoint struct {
	ID     string
	URL    string
	Secret []string // live secrets; none: NewSecret's for this ID
	HCL    string   // further attributes and blocks
}

// TenantsReachReceivers is an api block by which endpoints that are rows may reach a test's
// receivers.
const TenantsReachReceivers = `
api {
  listen = "127.0.0.1:0"
  network {
    allow      = ["127.0.0.0/8"]
    allow_http = true
  }
}
`

// secretVariable is the environment variable that holds a secret, unless the test names files.
func secretVariable(endpoint string, n int) string {
	return fmt.Sprintf("SECRET_%s_%d", strings.ToUpper(strings.ReplaceAll(endpoint, "-", "_")), n)
}

// HCL is the configuration as text. Secrets and the database's address come from the environment
// (see Env).
func (c Config) HCL() string {
	var b strings.Builder
	fmt.Fprintf(&b, "database {\n  url  = env(\"DATABASE_URL\")\n  slot = %q\n}\n", c.Slot)
	if c.Outbox != "" {
		fmt.Fprintf(&b, "outbox {\n%s\n}\n", c.Outbox)
	}
	b.WriteString("network {\n  allow      = [\"127.0.0.0/8\"]\n  allow_http = true\n}\n")
	b.WriteString("log {\n  level  = \"debug\"\n  format = \"json\"\n}\n")
	b.WriteString(c.More + "\n")
	for _, e := range c.Endpoints {
		fmt.Fprintf(&b, "endpoint %q {\n", e.ID)
		if e.URL != "" { // else the endpoint's HCL has it
			fmt.Fprintf(&b, "  url = %q\n", e.URL)
		}
		var secrets []string
		for n := range e.Secret {
			secrets = append(secrets, fmt.Sprintf("env(%q)", secretVariable(e.ID, n)))
		}
		switch len(secrets) {
		case 0: // the test's HCL has it
		case 1:
			fmt.Fprintf(&b, "  secret = %s\n", secrets[0])
		default:
			fmt.Fprintf(&b, "  secret = [%s]\n", strings.Join(secrets, ", "))
		}
		b.WriteString(e.HCL + "\n}\n")
	}
	return b.String()
}

// Env is the environment that HCL refers to.
func (c Config) Env() map[string]string {
	env := map[string]string{"DATABASE_URL": c.DatabaseURL}
	for _, e := range c.Endpoints {
		for n, secret := range e.Secret {
			env[secretVariable(e.ID, n)] = secret
		}
	}
	return env
}

// Secrets are the values that nobody may print.
func (c Config) Secrets() []string {
	secrets := []string{c.DatabaseURL}
	for _, e := range c.Endpoints {
		for _, s := range e.Secret {
			secrets = append(secrets, s, strings.TrimPrefix(strings.TrimPrefix(s, "whsec_"), "whsk_"))
		}
	}
	return secrets
}
