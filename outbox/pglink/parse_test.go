package pglink_test

import (
	"cmp"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox/pglink"
)

func TestParseConfig_honoursParametersOfLibpq(t *testing.T) {
	t.Parallel()
	for _, parameters := range []string{
		"keepalives=0", "keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3", "gssencmode=disable",
		"gssencmode=prefer", "sslcompression=0", "ssl_min_protocol_version=TLSv1.3", "load_balance_hosts=disable",
		"keepalives_count=0", "client_encoding=auto", "client_encoding=utf-8", "fallback_application_name=x", "target_session_attrs=read-write", "sslmode=require&sslsni=1",
		"channel_binding=prefer", "connect_timeout=3", "options=-c%20work_mem%3D1MB", "role=app", "citus.node=1",
	} {
		cfg, err := pglink.ParseConfig("postgres://app:hunter2@db.example/shop?" + parameters)
		require.NoError(t, err, parameters)
		for name := range cfg.RuntimeParams {
			require.Contains(t, []string{"options", "role", "citus.node"}, name, "sent to a server that does not know it")
		}
	}
	cfg, err := pglink.ParseConfig("host=db.example sslmode=verify-full ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.3")
	require.NoError(t, err)
	require.EqualValues(t, tls.VersionTLS13, cfg.TLSConfig.MinVersion)
	require.EqualValues(t, tls.VersionTLS13, cfg.TLSConfig.MaxVersion)
	for _, mode := range []string{"prefer", "allow"} { // which tries one way, then the other
		cfg, err = pglink.ParseConfig("postgres://db.example/shop?ssl_min_protocol_version=TLSv1.3&sslmode=" + mode)
		require.NoError(t, err)
		require.Len(t, cfg.Fallbacks, 1)
		require.EqualValues(t, tls.VersionTLS13, cmp.Or(cfg.TLSConfig, cfg.Fallbacks[0].TLSConfig).MinVersion, mode)
	}
}

func TestParseConfig_namesWhatItCannotHonour(t *testing.T) {
	t.Parallel()
	for parameter, want := range map[string]string{
		"sslcrl=/etc/crl.pem":              "revocation lists are not checked",
		"gssencmode=require":               "no GSS encryption",
		"pgbouncer=true":                   "the server's own address",
		"schema=app":                       "neither a parameter of libpq",
		"connection_limit=5":               "neither a parameter of libpq",
		"search_path=app":                  "Tailpost sets it",
		"statement_timeout=0":              "Tailpost sets it",
		"default_query_exec_mode=exec":     "neither a parameter of libpq",
		"keepalives_idle=soon":             "want a number",
		"keepalives_interval=-1":           "want a number",
		"keepalives_count=-1":              "want a number",
		"keepalives_count=few":             "want a number",
		"ssl_min_protocol_version=SSLv3":   "want TLSv1",
		"client_encoding=LATIN1":           "Tailpost sets it",
		"requirepeer=postgres":             "not supported",
		"tcp_user_timeout=1000":            "by itself",
		"replication=database":             "Tailpost sets it",
		"hostaddr=10.0.0.1":                "put the address into host",
		"load_balance_hosts=random":        "not supported",
		"statement_cache_capacity=notevil": "neither a parameter of libpq",
	} {
		_, err := pglink.ParseConfig("postgres://app:hunter2@db.example/shop?" + parameter)
		var problem *pglink.ParseError
		require.ErrorAs(t, err, &problem, parameter)
		require.Len(t, problem.Parameters, 1, parameter)
		require.Contains(t, problem.Parameters[0].Why, want, parameter)
		require.True(t, strings.HasPrefix(parameter, problem.Parameters[0].Name+"="), problem.Parameters[0].Name)
		require.NotContains(t, err.Error(), "hunter2")
		require.Equal(t, pglink.Refused, pglink.Judge(err))
	}
	_, err := pglink.ParseConfig("host=db.example pgbouncer=true schema=app")
	var problem *pglink.ParseError
	require.ErrorAs(t, err, &problem)
	require.Len(t, problem.Parameters, 2, "all at once")
}

func TestParseConfig_quotesNothingItCannotRead(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"postgres://app:hunter2/@[:1/x", "postgres://app:hun:ter2@db:hunter2/x", "host=db password='hunter2", "hunter2", "postgres://hunter2@x/y?sslmode=hunter2",
	} {
		_, err := pglink.ParseConfig(bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		require.Contains(t, err.Error(), "want postgres://")
	}
	_, err := pglink.ParseConfig("postgres://app:hunter2@db/x?sslmode=verify-full&sslrootcert=/nowhere/ca.pem")
	require.ErrorContains(t, err, "/nowhere/ca.pem")
	require.NotContains(t, err.Error(), "hunter2")
	require.False(t, pglink.Passes(err))
	require.NotErrorIs(t, err, pglink.ErrPooler)
}
