package config

import (
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// Config is everything the relay needs to know. It is immutable once built: a reload builds a new
// one. Load and Complete make a complete one, with defaults filled in and every rule checked; a
// literal is not.
type Config struct {
	Database  Database
	Outbox    Outbox
	Endpoints []Endpoint
	Versions  Versions
	Catalogue Catalogue
	Attempts  Attempts
	Retention Retention
	Network   Network
	Secrets   Secrets
	Fanout    Fanout
	API       API
	Panel     Panel
	Metrics   Metrics
	Log       Log

	Blocks []BlockOrigin // of what was read from files, but endpoints and keys, which know their own
}

// BlockOrigin says where a block of the configuration is declared.
type BlockOrigin struct {
	Name   string // such as database
	Origin Origin
}

// Database says where the application's database is.
type Database struct {
	URL            Secret // a libpq URL or keyword string
	ReplicationURL Secret // the stream's own address; empty: URL
	Slot           string // name of the slot and the publication; default tailpost
}

// Outbox says where events come from.
type Outbox struct {
	// Mapping names the table and its columns. A Mapping without Table means that events come as
	// logical messages only; the default is that of outbox.DefaultMapping where Messages is empty,
	// and no table where it is not.
	Mapping   outbox.Mapping
	Messages  string        // prefix of pg_logical_emit_message that also carries events; empty: none
	Start     Start         // what to do with rows that are older than the slot
	Retention time.Duration // settled rows this old are deleted; 0: never
	// AuditInterval is how often the table is searched for events that the stream did not bring.
	// Negative: only when something says that there may be some. Default: 1h.
	AuditInterval time.Duration
	// Search is what an event's attempts are found by; nil: their event's id alone.
	Search *Search
}

// Attempts says what an attempt's row has beside what all have.
type Attempts struct {
	Headers bool // the headers of the request and of the answer
}

// Retention says how long what is recorded is kept. 0 is the default, negative is for ever.
type Retention struct {
	Attempts time.Duration // tailpost.attempt; default 30 days
	Dead     time.Duration // dead deliveries; default 30 days
	Stats    time.Duration // counters by the hour; older ones are summed up; default 90 days
}

// Start says which rows that are older than the slot are delivered too. The zero Start is "now":
// none.
type Start struct {
	Beginning bool      // all
	At        time.Time // those created at or after it; zero: none
}

// TenantNetwork bounds where requests to endpoints that were made through the API may go: by what
// the api block allows, and through the same proxy as all others.
func (c Config) TenantNetwork() Network {
	n := c.Network
	n.Allow, n.AllowHTTP, n.tenants = c.API.Network.Allow, c.API.Network.AllowHTTP, true
	return n
}

// Network bounds where requests may go.
type Network struct {
	Allow     []netip.Prefix // reachable although private or reserved
	AllowHTTP bool           // plain http:// endpoints allowed
	Proxy     Secret         // egress proxy; empty: none
	// ProxyResolves says that the proxy looks names up, and judges where they lead.
	ProxyResolves bool
	NoProxy       []string // receivers that are reached without the proxy, see receiver.ParseBypass
	CA            string   // PEM of authorities that are trusted beside the system's; empty: none

	tenants bool
}

// AllowedBy returns the name of the block whose allow and allow_http these are, for errors.
func (n *Network) AllowedBy() string {
	if n.tenants {
		return "api.network"
	}
	return "network"
}

// Roots returns the authorities that vouch for receivers: those of the network beside others; nil
// stands for the system's.
func (n *Network) Roots(others *x509.CertPool) (*x509.CertPool, error) {
	return authorities("network.ca", n.CA, others)
}

// Log says how the relay logs.
type Log struct {
	Level  string // trace, debug, info, warn, error
	Format string // json or console
}

// Signature is how requests are signed.
type Signature string

// The signature schemes.
const (
	SignatureStandard Signature = "standard"
	SignatureStripe   Signature = "stripe"
	SignatureGitHub   Signature = "github"
)

// Format is the shape of a request's body.
type Format string

// The body formats.
const (
	FormatStandard          Format = "standard"           // {"id","type","timestamp","data"}
	FormatRaw               Format = "raw"                // the payload as it is
	FormatCloudEvents       Format = "cloudevents"        // CloudEvents 1.0, structured mode
	FormatCloudEventsBinary Format = "cloudevents-binary" // CloudEvents 1.0, binary mode
	FormatSlack             Format = "slack"              // Tailpost's own events as a message of Slack
	FormatForm              Format = "form"               // the data as the fields of a form
	FormatTeams             Format = "teams"              // Tailpost's own events as a card of Microsoft Teams
)

// Ordering is what an endpoint wants kept in commit order.
type Ordering string

// The orderings.
const (
	OrderingNone   Ordering = "none"
	OrderingKey    Ordering = "key"
	OrderingStrict Ordering = "strict"
)

// The versions of HTTP that an endpoint may insist on.
const (
	HTTP1 = "1.1"
	HTTP2 = "2"
)

// OnDead is what becomes of the successors of a dead delivery in its order.
type OnDead string

// What an ordered endpoint does.
const (
	OnDeadSkip OnDead = "skip" // they are delivered
	OnDeadHold OnDead = "hold" // they wait until a person resends or discards it
)

// Endpoint is a URL with its policy.
type Endpoint struct { //nolint:recvcheck // encoded by value, asked by pointer
	ID          string // identity in every table; the block label
	Name        string
	Description string
	URL         string // a text with expressions over the event, see Address
	// SensitiveURL says that the URL is a secret itself, as one that came from the environment or a
	// file: only its scheme and host are shown and recorded.
	SensitiveURL bool
	Secrets      []Secret // at least one; the first is the current one
	Signature    Signature
	Format       Format
	Method       string // POST, PUT, PATCH or DELETE
	HTTP         string // version of the protocol, HTTP1 or HTTP2; empty: what the receiver settles on
	Gzip         bool   // bodies of a kilobyte and more are compressed
	Answer       Answer
	Verify       Verify // what it has to show before its first event; empty: nothing
	// Headers are added to every request, and Query to the parameters of the URL: texts as that of
	// URL, see Address.
	Query       map[string]string
	Headers     map[string]string
	Timeout     time.Duration
	Concurrency int     // requests at once
	Rate        float64 // requests a second; 0: unlimited
	Ordering    Ordering
	OnDead      OnDead
	Redirects   int
	// Version is that of the events it gets; a complete endpoint of a configuration with versions
	// has one, by default the newest.
	Version   string
	Tenant    string // only this tenant's events; empty: every tenant's
	Retry     Retry
	Auth      Auth
	TLS       ClientTLS
	Circuit   Circuit
	Batch     Batch
	ParkAfter time.Duration
	// DisableAfter disables an endpoint that fails for this long without one success. 0: never.
	DisableAfter  time.Duration
	Subscriptions []Subscription // never empty: one without Events wants every event

	Origin Origin // where it was declared

	steps Steps // down to Version
}

// Origin is a place in a configuration file. The zero Origin means that Go code made the
// configuration.
type Origin struct {
	File string
	Line int
}

// Retry is which answers mean that a delivery failed, and when it is attempted again then.
type Retry struct {
	Schedule  []time.Duration // delay before attempt 2, 3, …; used up: dead
	Success   Statuses        // of answers that take the event; empty: 200 to 299
	Permanent Statuses        // of answers after which it is dead at once; empty: none
}

// Circuit is when a failing endpoint is left alone.
type Circuit struct {
	Failures int           // consecutive failures that open it; 0: never
	Reopen   time.Duration // until a probe
}

// Subscription is which events an endpoint wants, and as what body.
type Subscription struct {
	Events []string // exact or * per segment, ** for the rest; empty: all
	Where  *Filter  // nil: every event
	Body   *Body    // nil: the payload as it is
}
