package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// The scopes of API keys. To write includes to read.
const (
	ScopeEndpointsRead   = "endpoints:read"
	ScopeEndpointsWrite  = "endpoints:write"
	ScopeDeliveriesRead  = "deliveries:read"
	ScopeDeliveriesWrite = "deliveries:write"
	ScopeSecretsWrite    = "secrets:write" // rotate secrets of endpoints; endpoints:write includes it
	ScopePayloadsRead    = "payloads:read" // what events say and receivers answer, wherever it is shown
	ScopeKeysWrite       = "keys:write"    // list, make and delete keys
	ScopePortalWrite     = "portal:write"  // make and revoke links to the customer portal
)

// Scopes lists every scope there is.
func Scopes() []string {
	return []string{
		ScopeEndpointsRead, ScopeEndpointsWrite, ScopeSecretsWrite, ScopeDeliveriesRead, ScopeDeliveriesWrite, ScopePayloadsRead,
		ScopeKeysWrite, ScopePortalWrite,
	}
}

const (
	defaultAPIListen = "127.0.0.1:8080"
	minAPISecret     = 20
)

// API says where the management API listens and who may use it. The zero API: it is not served.
type API struct {
	Listen string // host:port; empty: there is no API
	Keys   []APIKey
	TLS    TLS
	// Network is what endpoints that are made through the API may reach beside the public internet;
	// Config.Network is for those of the configuration alone. It has no proxy: see
	// Config.TenantNetwork.
	Network Network
	Quotas  Quotas
}

// Quotas bound what a tenant's keys may do, each tenant for itself. 0 is the default.
type Quotas struct {
	Endpoints   int // of the tenant; default 100
	Concurrency int // of all of them together; default 3200
	Tests       int // test events a minute; default 60
	Expressions int // bytes of the where and body of one endpoint; default 16384
}

// The defaults of Quotas.
const (
	defaultEndpoints   = 100
	defaultTogether    = defaultEndpoints * defaultConcurrency
	defaultTests       = 60
	defaultExpressions = 16 << 10
)

// Enabled reports whether there is an API.
func (a *API) Enabled() bool { return a.Listen != "" }

// Loopback reports whether the API listens where only this machine reaches it.
func (a *API) Loopback() bool { return loopback(a.Listen) }

// loopback reports whether only this machine reaches an address.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// APIKey is a key to the API.
type APIKey struct {
	Name   string
	Secret Secret
	Scopes []string // default: all
	Tenant string   // nothing of other tenants exists for this key; empty: all tenants
	Origin Origin
}

// TLS names the PEM files of a listener. The zero TLS: plain HTTP.
type TLS struct {
	Cert string // the certificate and its chain
	Key  string
}

// decodeAPI decodes the api block.
func decodeAPI(d *decoder, s *section) {
	s.check([]string{"listen"}, []string{"key", "tls", "network", "quotas"})
	a := &d.config.API
	a.Listen = defaultAPIListen
	if text, ok := s.text("listen"); ok {
		a.Listen = text
	}
	for i, b := range blocksOf(s.body, "key") {
		a.Keys = append(a.Keys, decodeAPIKey(d, s, b, i))
	}
	if b := s.single("tls"); b != nil {
		inner := s.nested(b, "api.tls.", "a tls block")
		inner.check([]string{"cert", "key"}, nil)
		a.TLS.Cert = inner.path("cert")
		a.TLS.Key = inner.path("key")
		if d.opts.Listens {
			checkPair(inner, a.TLS)
		}
	}
	if b := s.single("network"); b != nil {
		inner := s.nested(b, "api.network.", "the network block of the API")
		inner.check([]string{"allow", "allow_http"}, nil)
		a.Network.AllowHTTP = inner.flag("allow_http")
		a.Network.Allow = inner.networks("allow")
	}
	if b := s.single("quotas"); b != nil {
		inner := s.nested(b, "api.quotas.", "the quotas block of the API")
		inner.check([]string{"endpoints", "concurrency", "tests", "expressions"}, nil)
		inner.count("endpoints", &a.Quotas.Endpoints, 1)
		inner.count("concurrency", &a.Quotas.Concurrency, 1)
		inner.count("tests", &a.Quotas.Tests, 1)
		inner.count("expressions", &a.Quotas.Expressions, 1)
	}
}

func decodeAPIKey(d *decoder, s *section, b *hclsyntax.Block, index int) APIKey {
	prefix := fmt.Sprintf("api.key[%d]", index)
	d.place(global, prefix, b.DefRange())
	inner := s.nested(b, prefix+".", "a key block")
	inner.check([]string{"secret", "scopes", "tenant"}, nil)
	key := APIKey{Origin: Origin{File: s.src.Name(), Line: b.TypeRange.Start.Line}}
	if len(b.Labels) == 1 {
		key.Name = b.Labels[0]
	} else {
		s.fail(b.DefRange(), "Wrong number of labels", "Write key \"name\" { … }.")
		d.spoil(global, prefix)
	}
	key.Secret = inner.secret("secret", func(string) bool { return true })
	key.Scopes, _ = inner.texts("scopes")
	key.Tenant, _ = inner.text("tenant")
	return key
}

func (a *API) complete() {
	a.Keys = slices.Clone(a.Keys)
	a.Network.Allow = slices.Clone(a.Network.Allow)
	a.Quotas = Quotas{
		Endpoints: cmp.Or(a.Quotas.Endpoints, defaultEndpoints), Concurrency: cmp.Or(a.Quotas.Concurrency, defaultTogether),
		Tests: cmp.Or(a.Quotas.Tests, defaultTests), Expressions: cmp.Or(a.Quotas.Expressions, defaultExpressions),
	}
	for i := range a.Keys {
		if a.Keys[i].Scopes == nil {
			a.Keys[i].Scopes = Scopes()
		}
	}
}

func checkAPI(c *checker) {
	a := &c.config.API
	c.allowed("api.network.allow", a.Network.Allow)
	if q := a.Quotas; q.Endpoints < 0 || q.Concurrency < 0 || q.Tests < 0 || q.Expressions < 0 {
		c.fail("api.quotas", "Number out of range", "Write numbers from 1.")
	}
	if n := a.Network; !n.Proxy.IsZero() || n.ProxyResolves || len(n.NoProxy) > 0 || n.CA != "" {
		c.fail("api.network.proxy", "Proxy of the API's endpoints", "Set network.proxy: it is for all requests.")
	}
	if !a.Enabled() {
		if len(a.Keys) > 0 || a.TLS != (TLS{}) {
			c.fail("api.listen", "Missing address", "Set listen, for example to %q.", defaultAPIListen)
		}
		return
	}
	if !validListen(a.Listen) {
		c.fail("api.listen", "Invalid address", "Write an address and a port, such as %q or \"0.0.0.0:8080\".", defaultAPIListen)
	} else if !a.Loopback() && len(a.Keys) == 0 {
		c.fail("api.listen", "Open API", "Anybody who reaches this address could use it. Add key \"name\" { secret = env(\"…\") }, or listen on %q.", defaultAPIListen)
	}
	if (a.TLS.Cert == "") != (a.TLS.Key == "") {
		c.fail("api.tls", "Incomplete tls block", "Set both cert and key, the paths of PEM files.")
	}
	first := make(map[string]int, len(a.Keys))
	for i := range a.Keys {
		checkAPIKey(c, i, &a.Keys[i], first)
	}
}

func checkAPIKey(c *checker, i int, k *APIKey, first map[string]int) {
	name := fmt.Sprintf("api.key[%d]", i)
	if !validLabel(k.Name) {
		c.fail(name, "Invalid key name", "Write 1 to %d letters, digits, underscores and hyphens.", maxLabel)
	}
	if before, twice := first[k.Name]; twice {
		c.fail(name, "Repeated key", "Key %q is declared%s already. Rename one of the two.", k.Name, c.config.API.Keys[before].Origin.at())
	} else {
		first[k.Name] = i
	}
	switch {
	case k.Secret.IsZero():
		c.fail(name+".secret", "Missing secret", "Set secret, for example to env(\"TAILPOST_API_KEY\").")
	case strings.TrimSpace(k.Secret.Reveal()) != k.Secret.Reveal():
		c.fail(name+".secret", "Invalid secret", "Remove the white space around it.")
	case len(k.Secret.Reveal()) < minAPISecret:
		c.fail(name+".secret", "Short secret", "Use at least %d random characters.", minAPISecret)
	}
	for j := range c.config.API.Keys[:i] {
		if !k.Secret.IsZero() && k.Secret.Equal(c.config.API.Keys[j].Secret) {
			c.fail(name+".secret", "Repeated secret", "Give each key a secret of its own.")
		}
	}
	if len(k.Scopes) == 0 {
		c.fail(name+".scopes", "Missing scopes", "List at least one scope, or leave scopes out to grant all.")
	}
	for j, scope := range k.Scopes {
		if !slices.Contains(Scopes(), scope) {
			c.fail(fmt.Sprintf("%s.scopes[%d]", name, j), "Unknown scope", "There are %s.%s", diag.List(Scopes(), "and"), suggest.DidYouMean(scope, Scopes()))
		}
	}
}

// anyPort reports whether the system is to choose the port.
func anyPort(listen string) bool {
	_, port, err := net.SplitHostPort(listen)
	return err == nil && strings.Trim(port, "0") == ""
}

// validListen reports whether a listener can be told to listen there.
func validListen(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n >= 1<<16 {
		return false
	}
	if host == "" || host == "localhost" {
		return true
	}
	_, err = netip.ParseAddr(host)
	return err == nil
}
