package config

import (
	"cmp"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// EngineNATS is the one engine of a fan-out that there is: NATS JetStream.
const EngineNATS = "nats"

// The defaults and bounds of a fan-out.
const (
	defaultPartitions = 16
	maxPartitions     = 256
	defaultReplicas   = 1
	defaultHold       = time.Minute
	maxHold           = 24 * time.Hour
	portNATS          = "4222"
)

// Fanout says by what the relay that reads hands events to a fleet that sends them. The zero
// Fanout: a relay sends what it reads.
type Fanout struct {
	Engine     string // EngineNATS; empty: there is no fan-out
	URL        Secret // nats:// or tls://, several with commas between them; may hold user and password
	Partitions int    // 1 to 256; default 16
	Replicas   int    // of each partition's stream: 1, 3 or 5; default 1
	// Hold is how long the slot keeps what is committed while NATS takes nothing. Then whoever has
	// the slot delivers alone until NATS is back. Default 1 minute.
	Hold time.Duration

	// At most one way to log in: the text of a .creds file, a token, or user and password.
	Credentials Secret
	Token       Secret
	User        string
	Password    Secret

	CA string // PEM of authorities that are trusted beside the system's; empty: none
}

// Enabled reports whether there is a fan-out.
func (f *Fanout) Enabled() bool { return f.Engine != "" }

// Equal reports whether two fan-outs say the same.
func (f *Fanout) Equal(other *Fanout) bool {
	a, b := *f, *other
	for _, secret := range [][2]*Secret{
		{&a.URL, &b.URL}, {&a.Credentials, &b.Credentials}, {&a.Token, &b.Token}, {&a.Password, &b.Password},
	} {
		if !secret[0].Equal(*secret[1]) {
			return false
		}
		*secret[0], *secret[1] = Secret{}, Secret{}
	}
	return a == b
}

// Hosts returns the servers that the URL names as host:port, without user and password, in its
// order; nil where it is not valid.
func (f *Fanout) Hosts() []string {
	servers, err := parseServers(f.URL.Reveal())
	if err != nil {
		return nil
	}
	hosts := make([]string, 0, len(servers))
	for _, s := range servers {
		hosts = append(hosts, s.host)
	}
	return hosts
}

// Roots returns the authorities that vouch for the servers: those of the fan-out beside others; nil
// stands for the system's.
func (f *Fanout) Roots(others *x509.CertPool) (*x509.CertPool, error) {
	return authorities("fanout.ca", f.CA, others)
}

func (f *Fanout) complete() {
	if !f.Enabled() {
		return
	}
	f.Partitions = cmp.Or(f.Partitions, defaultPartitions)
	f.Replicas = cmp.Or(f.Replicas, defaultReplicas)
	f.Hold = cmp.Or(f.Hold, defaultHold)
}

// says is what a fan-out says, for its fingerprint; empty: there is none. Of the URL its hosts
// count, in any order: the streams are there. Which of them a process asks first is its own.
func (f *Fanout) says() string {
	if *f == (Fanout{}) {
		return "" // as in a fingerprint of a release that knew no fan-out
	}
	return fingerprint(struct {
		Fanout Fanout
		Hosts  []string
	}{*f, slices.Sorted(slices.Values(f.Hosts()))})
}

// natsServer is a server that a URL names.
type natsServer struct {
	host  string // with its port
	login bool   // the URL says who logs in
}

var errServers = errors.New(`write nats://host:4222 or tls://host:4222, several with commas between them, with user and password percent-encoded before the host where it needs them`)

// parseServers reads the URL of a fan-out. Its errors do not repeat it: it may hold a password.
func parseServers(text string) ([]natsServer, error) {
	var servers []natsServer
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Host == "" || u.Path != "" && u.Path != "/" ||
			u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
			return nil, errServers
		}
		at := url.URL{Scheme: "http", Host: u.Host} // its host and port are judged as those of any URL
		place, err := receiver.ParsePlace(&at)
		if err != nil {
			return nil, errServers
		}
		port := portNATS
		if u.Port() != "" {
			port = strconv.Itoa(int(place.Port))
		}
		servers = append(servers, natsServer{net.JoinHostPort(place.Host, port), u.User != nil})
	}
	return servers, nil
}

// decodeFanout decodes the fanout block.
func decodeFanout(d *decoder, s *section, b *hclsyntax.Block) {
	s.check([]string{"url", "partitions", "replicas", "hold", "credentials", "token", "user", "password", "ca"}, nil)
	f := &d.config.Fanout
	f.Engine = EngineNATS // the rest is checked whatever stands there
	if len(b.Labels) == 1 && b.Labels[0] != EngineNATS {
		s.fail(b.LabelRanges[0], "Unknown fan-out", "Write fanout %q { … }: there is no other.%s", EngineNATS, suggest.DidYouMean(b.Labels[0], []string{EngineNATS}))
	}
	f.URL = s.secret("url", func(text string) bool { return strings.Contains(text, "@") })
	s.count("partitions", &f.Partitions, 1)
	if n, ok := s.integer("replicas"); ok {
		f.Replicas = n
		if n == 0 { // to the rules it would be the default
			s.wrong("replicas", s.body.Attributes["replicas"].Expr.Range(), "Number out of range", replicasRemedy)
		}
	}
	f.Hold, _ = s.duration("hold")
	f.Credentials = filledSecret(s, "credentials")
	f.Token = filledSecret(s, "token")
	f.User, _ = s.text("user")
	f.Password = filledSecret(s, "password")
	f.CA, _ = s.text("ca")
}

// filledSecret returns a secret that is not empty where it is written: without it a relay would log
// in as nobody, and that is not what was meant.
func filledSecret(s *section, name string) Secret {
	v, marked, ok := s.value(name, cty.String)
	if !ok {
		return Secret{}
	}
	at := s.body.Attributes[name].Expr.Range()
	secret := trimmed(v.AsString())
	switch {
	case secret.IsZero():
		s.wrong(name, at, "Empty secret", "Set it, or leave %s out.", name)
	case !marked:
		s.literal(at)
	}
	return secret
}

const replicasRemedy = "Write 1, 3 or 5: of how many servers each keeps a copy of the streams."

// checkFanout checks the fan-out.
func checkFanout(c *checker) {
	f := &c.config.Fanout
	if !f.Enabled() {
		if *f != (Fanout{}) {
			c.fail("fanout", "Missing engine", "Name it: there is %q.", EngineNATS)
		}
		return
	}
	if f.Engine != EngineNATS {
		c.fail("fanout", "Unknown fan-out", "Name the engine: there is %q.", EngineNATS)
	}
	servers, err := parseServers(f.URL.Reveal())
	switch {
	case f.URL.IsZero():
		c.fail("fanout.url", "Missing NATS URL", "Set url, for example to env(\"NATS_URL\").")
	case err != nil:
		c.fail("fanout.url", "Invalid NATS URL", "%s.", sentence(err.Error()))
	}
	if f.Partitions < 1 || f.Partitions > maxPartitions {
		c.fail("fanout.partitions", "Number out of range", "Write a number from 1 to %d.", maxPartitions)
	}
	if !slices.Contains([]int{1, 3, 5}, f.Replicas) {
		c.fail("fanout.replicas", "Number out of range", replicasRemedy)
	}
	c.within("fanout.hold", f.Hold, time.Second, maxHold)
	checkLogin(c, f, slices.ContainsFunc(servers, func(s natsServer) bool { return s.login }))
	checkAuthorities(c, "fanout.ca", f.CA)
}

// checkLogin checks how a relay shows the servers who it is; inURL says that the URL does.
func checkLogin(c *checker, f *Fanout, inURL bool) {
	var ways []string
	for _, way := range []struct {
		name string
		set  bool
	}{
		{"url", inURL},
		{"credentials", !f.Credentials.IsZero()},
		{"token", !f.Token.IsZero()},
		{"user", f.User != "" || !f.Password.IsZero()},
	} {
		if way.set {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 {
		c.fail("fanout."+ways[1], "Several ways to log in", "Keep one: what shows who logs in stands in %s.", diag.List(ways, "and"))
	}
	switch {
	case f.User != "" && f.Password.IsZero():
		c.fail("fanout.password", "Missing password", "Set it beside user, for example to env(\"NATS_PASSWORD\").")
	case f.User == "" && !f.Password.IsZero():
		c.fail("fanout.user", "Missing user", "Set it beside password.")
	}
	if text := f.Credentials.Reveal(); text != "" && (!strings.Contains(text, "BEGIN NATS USER JWT") || !strings.Contains(text, "BEGIN USER NKEY SEED")) {
		c.fail("fanout.credentials", "Invalid credentials", "Write the text of a .creds file, with its JWT and its seed; file(\"nats.creds\") reads it.")
	}
}

// fanoutJSON is the fanout block as JSON shows it.
type fanoutJSON struct {
	Engine      string `json:"engine"`
	URL         Secret `json:"url"`
	Partitions  int    `json:"partitions"`
	Replicas    int    `json:"replicas"`
	Hold        string `json:"hold"`
	Credentials Secret `json:"credentials"`
	Token       Secret `json:"token"`
	User        string `json:"user,omitempty"`
	Password    Secret `json:"password"`
	CA          bool   `json:"ca"`
}

// newFanoutJSON returns nil where there is no fan-out.
func newFanoutJSON(f *Fanout) *fanoutJSON {
	if !f.Enabled() {
		return nil
	}
	return &fanoutJSON{f.Engine, f.URL, f.Partitions, f.Replicas, spell(f.Hold, ""), f.Credentials, f.Token, f.User, f.Password, f.CA != ""}
}
