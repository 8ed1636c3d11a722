package pglink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errParse is what every ParseError is.
var errParse = errors.New("parse the connection string")

// ParseError says why a connection string cannot be used. It quotes nothing of it but names of
// parameters.
type ParseError struct {
	Parameters []Parameter // those that cannot be honoured, sorted by name; none: the string cannot be read at all
	Why        string      // where there are none
}

// Parameter is one that cannot be honoured.
type Parameter struct{ Name, Why string }

func (e *ParseError) Error() string {
	if len(e.Parameters) == 0 {
		return "database URL: " + e.Why
	}
	texts := make([]string, len(e.Parameters))
	for i, p := range e.Parameters {
		texts[i] = fmt.Sprintf("parameter %q: %s", p.Name, p.Why)
	}
	return "database URL: " + strings.Join(texts, "; ")
}

// Is reports whether target is what Judge takes for an unusable URL: every ParseError is.
func (e *ParseError) Is(target error) bool { return target == errParse }

// keepAlive is how often a silent connection is probed unless its URL says otherwise.
const keepAlive = 15 * time.Second

// ParseConfig reads a connection string: a postgres:// URL or keyword=value pairs, completed by the
// environment and the password and service files as libpq does. Every parameter is honoured or an
// error, which is a *ParseError: none is sent to a server that would refuse it at the first
// connection, and none that asks for more safety is dropped.
//
// It reads the files that the string names, and opens no connection.
func ParseConfig(connString string) (*pgx.ConnConfig, error) {
	low, err := pgconn.ParseConfig(connString)
	if err != nil {
		return nil, unreadable(err)
	}
	p := parser{keep: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive}}
	for _, name := range slices.Sorted(maps.Keys(low.RuntimeParams)) {
		p.honour(name, low.RuntimeParams[name])
	}
	if len(p.problems) > 0 {
		return nil, &ParseError{Parameters: p.problems}
	}
	cfg, err := pgx.ParseConfig(connString)
	if err != nil {
		return nil, unreadable(err)
	}
	for _, name := range p.taken {
		delete(cfg.RuntimeParams, name)
	}
	if !strings.HasPrefix(cfg.Host, "/") {
		cfg.DialFunc = (&net.Dialer{KeepAliveConfig: p.keep, KeepAlive: p.keepAlive()}).DialContext
	}
	p.bound(cfg.TLSConfig)
	for _, other := range cfg.Fallbacks {
		p.bound(other.TLSConfig)
	}
	return cfg, nil
}

// unreadable replaces an error that may quote the string. Only what a file has to do with it is
// told.
func unreadable(err error) *ParseError {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return &ParseError{Why: fmt.Sprintf("%s %s: %v", file.Op, file.Path, file.Err)}
	}
	return &ParseError{Why: "want postgres://user:password@host:port/database, special characters percent-encoded, or " +
		"keyword=value pairs, with parameters and values that libpq knows"}
}

// parser sorts what pgx takes for settings of the server.
type parser struct {
	keep     net.KeepAliveConfig
	min, max uint16   // versions of TLS; 0: no bound
	taken    []string // are no settings of the server
	problems []Parameter
}

// honour honours a parameter, or notes why not.
func (p *parser) honour(name, value string) {
	switch {
	case name == "options" || strings.Contains(name, ".") || slices.Contains(passedOn(), name):
		return
	case p.libpq(name, value):
		p.taken = append(p.taken, name)
	default:
		p.problems = append(p.problems, Parameter{Name: name, Why: why(name)})
	}
}

// libpq honours parameters of libpq that pgx does not know, and reports whether it did.
func (p *parser) libpq(name, value string) bool {
	switch name {
	case "keepalives":
		p.keep.Enable = value != "0"
		return value == "0" || value == "1"
	case "keepalives_idle":
		return seconds(value, &p.keep.Idle)
	case "keepalives_interval":
		return seconds(value, &p.keep.Interval)
	case "keepalives_count":
		n, err := strconv.Atoi(value)
		p.keep.Count = n
		return err == nil && n >= 0
	case "ssl_min_protocol_version":
		return tlsVersion(value, &p.min)
	case "ssl_max_protocol_version":
		return tlsVersion(value, &p.max)
	case "gssencmode":
		return value == "disable" || value == "prefer"
	case "sslcompression":
		return value == "0"
	case "load_balance_hosts":
		return value == "disable"
	case "client_encoding":
		return value == "auto" || strings.EqualFold(strings.ReplaceAll(value, "-", ""), "UTF8")
	case "application_name", "fallback_application_name", "timezone":
		// The environment may have them too (PGAPPNAME, PGTZ). A session of Tailpost has its own.
		return true
	}
	return false
}

// keepAlive is what net.Dialer wants besides: a negative one turns probes off.
func (p *parser) keepAlive() time.Duration {
	if p.keep.Enable {
		return 0
	}
	return -1
}

// bound puts the bounds of the version into a configuration of TLS; nil: there is none.
func (p *parser) bound(cfg *tls.Config) {
	if cfg == nil {
		return
	}
	cfg.MinVersion, cfg.MaxVersion = max(cfg.MinVersion, p.min), p.max
}

// seconds reads a number of seconds; 0 is the default.
func seconds(value string, to *time.Duration) bool {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return false
	}
	if n > 0 {
		*to = time.Duration(n) * time.Second
	}
	return true
}

func tlsVersion(value string, to *uint16) bool {
	version, ok := map[string]uint16{"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[value]
	*to = version
	return ok
}

// passedOn are settings of the server that a connection string may carry and that Tailpost does not
// set itself.
func passedOn() []string {
	return []string{
		"role", "synchronous_commit", "work_mem", "maintenance_work_mem", "temp_buffers", "client_min_messages", "lc_messages",
		"log_statement", "log_min_duration_statement", "log_duration", "tcp_keepalives_idle", "tcp_keepalives_interval",
		"tcp_keepalives_count", "client_connection_check_interval", "wal_sender_timeout",
		"max_parallel_workers_per_gather", "effective_io_concurrency", "random_page_cost", "commit_delay", "commit_siblings",
	}
}

// why says what to do about a parameter that cannot be honoured.
func why(name string) string {
	if _, ours := settings()[name]; ours {
		return "Tailpost sets it on its connections itself: remove it"
	}
	switch name {
	case "pgbouncer":
		return "it is for addresses of a connection pooler, which Tailpost cannot use: give the server's own address"
	case "replication":
		return "Tailpost sets it itself: remove it"
	case "hostaddr":
		return "put the address into host"
	case "sslcrl", "sslcrldir":
		return "revocation lists are not checked: remove it, or have the certificate authority withdrawn from sslrootcert"
	case "tcp_user_timeout":
		return "Tailpost closes a silent connection by itself, after 90 seconds: remove it"
	case "gssencmode":
		return "there is no GSS encryption: write disable or prefer, and sslmode=verify-full for an encrypted connection"
	case "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count":
		return "want a number as libpq does"
	case "ssl_min_protocol_version", "ssl_max_protocol_version":
		return "want TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"
	case "sslcompression", "load_balance_hosts", "requirepeer", "gsslib", "gssdelegation", "sslkeylogfile", "scram_client_key",
		"scram_server_key", "oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope":
		return "this parameter of libpq is not supported: remove it"
	}
	return "neither a parameter of libpq nor a setting that Tailpost passes on: remove it; a setting of Postgres goes into " +
		"options=-c%20name=value"
}
