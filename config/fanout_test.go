package config_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// natsCredentials has the form of a .creds file.
const natsCredentials = "-----BEGIN NATS USER JWT-----\nhunter2.hunter2.hunter2\n------END NATS USER JWT------\n\n" +
	"-----BEGIN USER NKEY SEED-----\nSUhunter2\n------END USER NKEY SEED------\n"

// fannedOut is a good configuration with this fan-out.
func fannedOut(f config.Fanout) config.Config {
	return config.Config{
		Database:  config.Database{URL: config.NewSecret("postgres://localhost/app")},
		Endpoints: []config.Endpoint{{ID: "a", URL: "https://a.example.com", Secrets: []config.Secret{config.NewSecret(hmacSecret)}}},
		Fanout:    f,
	}
}

func TestAFanoutIsRead(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Load("testdata/valid/fanout.hcl", options())
	require.Empty(t, diags)
	f := &cfg.Fanout
	require.True(t, f.Enabled())
	require.Equal(t, config.EngineNATS, f.Engine)
	require.Equal(t, []int{256, 5}, []int{f.Partitions, f.Replicas})
	require.Equal(t, strings.TrimSpace(natsCredentials), f.Credentials.Reveal())
	require.Equal(t, []string{"n1.example.com:4222", "[2001:db8::2]:4223", "n3.example.com:4222"}, f.Hosts())
	require.True(t, strings.HasPrefix(f.URL.Reveal(), "nats://n1.example.com,"), "as it was written")

	cfg, diags = config.Load("testdata/valid/fanout_user.hcl", options())
	require.False(t, diags.HasErrors())
	require.Equal(t, []string{"tailpost", "a literal"}, []string{cfg.Fanout.User, cfg.Fanout.Password.Reveal()})
	require.Equal(t, []int{16, 1}, []int{cfg.Fanout.Partitions, cfg.Fanout.Replicas}, "the defaults")

	cfg, diags = config.Load("testdata/valid/fanout_url.hcl", options())
	require.Empty(t, diags)
	require.Equal(t, []string{"n1.example.com:4222", "n2.example.com:4223"}, cfg.Fanout.Hosts())
	require.True(t, cfg.Fanout.Token.IsZero())

	cfg, diags = config.Load("testdata/valid/minimal.hcl", options())
	require.Empty(t, diags)
	require.Equal(t, config.Fanout{}, cfg.Fanout, "without the block there is none, and nothing has a default")
	require.False(t, cfg.Fanout.Enabled())
}

// A URL that comes from the environment is one that servers have, and what is wrong with it is said
// without it.
func TestTheURLOfAFanout(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"nats://n1":                              "n1:4222",
		"nats://n1:4223/":                        "n1:4223",
		"tls://n1,nats://n2 , tls://192.0.2.1:1": "n1:4222 n2:4222 192.0.2.1:1",
		"nats://token@n1":                        "n1:4222",
		"nats://user:hunter2@n1:4223":            "n1:4223",
		"nats://user:p%2C%40@n1":                 "n1:4222",
		"nats_1":                                 "",
		"hunter2":                                "",
		"nats://":                                "",
		"nats://n1,":                             "",
		"nats://n1,,nats://n2":                   "",
		"nats://n1:4222,n2:4222":                 "",
		"nats://n1:0":                            "",
		"nats://n1:65536":                        "",
		"nats://n1:hunter2":                      "",
		"nats://n1/hunter2":                      "",
		"nats://n1?hunter2":                      "",
		"nats://n1?":                             "",
		"nats://n1#hunter2":                      "",
		"nats:n1":                                "",
		"nats://a..b":                            "",
		"nats://user:hunter2,@n1":                "",
		"http://n1":                              "",
		"ws://n1":                                "",
		"postgres://user:hunter2@n1/app":         "",
	} {
		cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte("fanout \"nats\" {\n  url = env(\"URL\")\n}\ndatabase { url = env(\"DATABASE_URL\") }" + anEndpoint)}, config.Options{
			Getenv: func(name string) (string, bool) {
				if name == "URL" {
					return text, true
				}
				return getenv(name)
			},
		})
		if want != "" {
			require.Empty(t, diags, text)
			require.Equal(t, want, strings.Join(cfg.Fanout.Hosts(), " "), text)
			requireNoSecret(t, cfg, diags)
			continue
		}
		require.Len(t, diags, 1, text)
		require.Equal(t, "Invalid NATS URL", diags[0].Summary)
		require.Equal(t, 2, diags[0].Line)
		require.Equal(t, "fanout.url", diags[0].Field)
		requireNoSecret(t, cfg, diags)
		require.Nil(t, (&config.Fanout{URL: config.NewSecret(text)}).Hosts(), text)
	}
}

// One way to log in is enough, and with two nobody knows which one counts.
func TestAFanoutLogsInOneWay(t *testing.T) {
	t.Parallel()
	secret := config.NewSecret
	const in, plain = "nats://user:hunter2@n1", "nats://n1"
	for name, tc := range map[string]struct {
		fanout config.Fanout
		want   []string
	}{
		"none":                       {config.Fanout{URL: secret(plain)}, nil},
		"the URL":                    {config.Fanout{URL: secret(in)}, nil},
		"credentials":                {config.Fanout{URL: secret(plain), Credentials: secret(natsCredentials)}, nil},
		"a token":                    {config.Fanout{URL: secret(plain), Token: secret("t")}, nil},
		"user and password":          {config.Fanout{URL: secret(plain), User: "u", Password: secret("p")}, nil},
		"a user":                     {config.Fanout{URL: secret(plain), User: "u"}, []string{"fanout.password"}},
		"a password":                 {config.Fanout{URL: secret(plain), Password: secret("p")}, []string{"fanout.user"}},
		"the URL and credentials":    {config.Fanout{URL: secret(in), Credentials: secret(natsCredentials)}, []string{"fanout.credentials"}},
		"the second URL and a token": {config.Fanout{URL: secret(plain + "," + in), Token: secret("t")}, []string{"fanout.token"}},
		"the URL, user and password": {config.Fanout{URL: secret(in), User: "u", Password: secret("p")}, []string{"fanout.user"}},
		"credentials and a token":    {config.Fanout{URL: secret(plain), Credentials: secret(natsCredentials), Token: secret("t")}, []string{"fanout.token"}},
		"credentials and user":       {config.Fanout{URL: secret(plain), Credentials: secret(natsCredentials), User: "u", Password: secret("p")}, []string{"fanout.user"}},
		"a token and a user":         {config.Fanout{URL: secret(plain), Token: secret("t"), User: "u", Password: secret("p")}, []string{"fanout.user"}},
		"a token and a password":     {config.Fanout{URL: secret(plain), Token: secret("t"), Password: secret("p")}, []string{"fanout.user", "fanout.user"}},
		"credentials without a seed": {config.Fanout{URL: secret(plain), Credentials: secret(natsCredentials[:90])}, []string{"fanout.credentials"}},
		"credentials without a JWT":  {config.Fanout{URL: secret(plain), Credentials: secret(natsCredentials[90:])}, []string{"fanout.credentials"}},
		"credentials that are their path": {
			config.Fanout{URL: secret(plain), Credentials: secret("nats.creds")}, []string{"fanout.credentials"},
		},
	} {
		tc.fanout.Engine = config.EngineNATS
		_, err := fannedOut(tc.fanout).Complete()
		if tc.want == nil {
			require.NoError(t, err, name)
			continue
		}
		var diags config.Diagnostics
		require.ErrorAs(t, err, &diags, name)
		var fields []string
		for _, d := range diags {
			fields = append(fields, d.Field)
		}
		require.Equal(t, tc.want, fields, name)
		require.NotContains(t, err.Error(), password, name)
	}
}

func TestTheNumbersOfAFanout(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		partitions, replicas int
		want                 string
	}{
		{1, 1, ""}, {256, 5, ""}, {16, 3, ""}, {0, 0, ""}, // 0 is the default
		{-1, 1, "partitions"}, {257, 1, "partitions"}, {1, -1, "replicas"}, {1, 2, "replicas"}, {1, 4, "replicas"}, {1, 6, "replicas"},
	} {
		_, err := fannedOut(config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret("nats://n1"), Partitions: tc.partitions, Replicas: tc.replicas}).Complete()
		if tc.want == "" {
			require.NoError(t, err, tc)
			continue
		}
		require.ErrorContains(t, err, "fanout."+tc.want+": Number out of range", tc)
	}
}

// What only Go code can make.
func TestAFanoutHasAnEngine(t *testing.T) {
	t.Parallel()
	_, err := fannedOut(config.Fanout{URL: config.NewSecret("nats://n1")}).Complete()
	require.ErrorContains(t, err, "fanout: Missing engine")
	_, err = fannedOut(config.Fanout{Engine: "kafka", URL: config.NewSecret("nats://n1")}).Complete()
	require.ErrorContains(t, err, "fanout: Unknown fan-out")
}

// TestAFanoutIsEqualToWhatSaysTheSame changes each field by itself; secrets are compared by what
// they say.
func TestAFanoutIsEqualToWhatSaysTheSame(t *testing.T) {
	t.Parallel()
	full := func() config.Fanout {
		return config.Fanout{
			Engine: config.EngineNATS, URL: config.NewSecret("nats://n1"), Partitions: 1, Replicas: 1, Credentials: config.NewSecret("c"),
			Token: config.NewSecret("t"), User: "u", Password: config.NewSecret("p"), CA: "ca",
		}
	}
	one, same := full(), full()
	require.True(t, one.Equal(&same))
	for i := range reflect.TypeFor[config.Fanout]().NumField() {
		other := full()
		field := reflect.ValueOf(&other).Elem().Field(i)
		require.True(t, another(field))
		require.False(t, one.Equal(&other), reflect.TypeFor[config.Fanout]().Field(i).Name)
		require.False(t, other.Equal(&one))
	}
	require.Equal(t, full(), one, "it is left as it was")
}

// TestNothingPrintsTheSecretsOfAFanout has a canary in each setting that is one.
func TestNothingPrintsTheSecretsOfAFanout(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{
		"url":         `url = env("NATS_URL")`,
		"credentials": "url = \"nats://n1\"\n credentials = file(\"testdata/valid/secrets/nats.creds\")",
		"token":       "url = \"nats://n1\"\n token = env(\"TOKEN\")",
		"password":    "url = \"nats://n1\"\n user = \"u\"\n password = env(\"TOKEN\")",
	} {
		text := "database { url = env(\"DATABASE_URL\") }" + anEndpoint + "fanout \"nats\" {\n " + lines + "\n"
		cfg, diags := parse(t, text+"}\n")
		require.Empty(t, diags, name)
		requireNoSecret(t, cfg, diags)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, cfg.Fanout)+fmt.Sprintf(verb, &cfg.Fanout), password, "%s %s", name, verb)
		}
		for _, host := range cfg.Fanout.Hosts() {
			require.NotContains(t, host, "@")
		}
		require.Contains(t, mustJSON(t, cfg), `"`+name+`":"[redacted]"`, "that there is one is shown")

		// Where everything is wrong with it.
		cfg, diags = parse(t, strings.Replace(text, "\"nats\" {", "\"nat\" {\n replicas = 7\n ca = env(\"TOKEN\")\n zzzz = env(\"TOKEN\")\n", 1)+"}\n")
		require.Len(t, diags, 4, name)
		requireNoSecret(t, cfg, diags)
	}
	without, _ := parse(t, "database { url = env(\"DATABASE_URL\") }"+anEndpoint)
	require.Contains(t, mustJSON(t, without), `"fanout":null`)
	whole := mustJSON(t, fannedOut(config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret("nats://n1"), Partitions: 2, Replicas: 3, Hold: time.Minute, User: "u", CA: "pem"}))
	require.Contains(t, whole, `"fanout":{"engine":"nats","url":"[redacted]","partitions":2,"replicas":3,"hold":"1m0s","credentials":"","token":"","user":"u","password":"","ca":true}`)
}

func TestTheAuthoritiesOfAFanout(t *testing.T) {
	t.Parallel()
	cert := certificateOfAnother(t)
	f := config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret("tls://n1"), CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))}
	_, err := fannedOut(f).Complete()
	require.NoError(t, err)
	roots, err := f.Roots(x509.NewCertPool())
	require.NoError(t, err)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots})
	require.NoError(t, err)
	f.CA = "ca.pem"
	_, err = f.Roots(nil)
	require.EqualError(t, err, "fanout.ca is not PEM of a certificate")
}

// FuzzFanoutURL: whatever is written for a URL, what is taken leads to hosts with ports, and
// neither they nor what is said of a refused one have a password.
func FuzzFanoutURL(f *testing.F) {
	for _, seed := range []string{
		"nats://n1", "tls://n1:4222,nats://[::1]:1", "nats://user:hunter2@n1", "nats://hunter2@n1/", "hunter2", "nats://n1,,", "nats://[fe80::1%25eth0]",
		"nats://n1:hunter2", "nats://bücher.example", "nats://%31", "nats://n1?hunter2", "nats:hunter2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fanout := config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret(text)}
		_, err := fannedOut(fanout).Complete()
		if err != nil {
			require.True(t, len(text) < 12 || !strings.Contains(err.Error(), text))
			require.Nil(t, fanout.Hosts())
			return
		}
		hosts := fanout.Hosts()
		require.Len(t, hosts, strings.Count(text, ",")+1)
		for _, at := range hosts {
			host, port, err := net.SplitHostPort(at)
			require.NoError(t, err)
			require.NotEmpty(t, host)
			require.NotContains(t, host, "@")
			n, err := strconv.ParseUint(port, 10, 16)
			require.NoError(t, err)
			require.NotZero(t, n)
		}
	})
}

func TestTheFanoutIsReadBesideTheDatabaseWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	o := options()
	o.DatabaseOnly, o.Fanout = true, true
	text := map[string][]byte{
		"test.hcl": []byte(`
			database { url = env("DATABASE_URL") }
			network { proxy = env("NOBODY_KNOWS") }
			secrets { keys = [env("NOBODY_KNOWS")] }`),
		"zz.hcl": []byte(`fanout "nats" { url = "nats://n1" }`),
	}
	_, diags := config.Parse(text, o)
	require.Len(t, diags, 1, "%v", diags)
	require.Contains(t, diags[0].Detail, "NOBODY_KNOWS")
	text["test.hcl"] = []byte(`
		database { url = env("DATABASE_URL") }
		network { allow_http = true }`)
	cfg, diags := config.Parse(text, o)
	require.Empty(t, diags)
	require.Equal(t, []string{"n1:4222"}, cfg.Fanout.Hosts())
	require.True(t, cfg.Network.AllowHTTP)

	// Who has none is asked for nothing more, and neither is who does not ask for it.
	delete(text, "zz.hcl")
	text["test.hcl"] = []byte(`
		database { url = env("DATABASE_URL") }
		network { proxy = env("NOBODY_KNOWS") }`)
	cfg, diags = config.Parse(text, o)
	require.Empty(t, diags)
	require.False(t, cfg.Fanout.Enabled())
	text["zz.hcl"] = []byte(`fanout "nats" { url = env("NOBODY_KNOWS") }`)
	o.Fanout = false
	_, diags = config.Parse(text, o)
	require.Empty(t, diags)
}
