package config_test

import (
	"encoding/json"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// differing are the names of what two configurations say differently.
func differing(a, b config.Fingerprints) []string {
	var names []string
	for _, of := range []struct {
		prefix string
		a, b   map[string]string
	}{{"version ", a.Versions, b.Versions}, {"", a.Blocks, b.Blocks}} {
		for name := range of.a {
			if is, there := of.b[name]; !there || is != of.a[name] {
				names = append(names, of.prefix+name)
			}
		}
		for name := range of.b {
			if _, there := of.a[name]; !there {
				names = append(names, of.prefix+name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func fingerprints(t *testing.T, text string) config.Fingerprints {
	t.Helper()
	cfg, diags := parse(t, text)
	require.Empty(t, diags)
	return cfg.Fingerprints()
}

func TestAStepHasAnotherFingerprintWhereItDoesSomethingElse(t *testing.T) {
	t.Parallel()
	before := fingerprints(t, threeVersions)
	require.Empty(t, before.Versions["2025-01-01"], "it has no steps")
	require.Regexp(t, "^[0-9a-f]{16}$", before.Versions["2026-09-20"])
	require.NotEqual(t, before.Versions["2026-01-15"], before.Versions["2026-09-20"])

	const draft, second = `where = event.type != "order.draft"`, "  event \"order.*\" {\n    body = { id = event.data.id, customer = event.data.customer, total = null }\n  }\n"
	for what, change := range map[string][3]string{
		"its where":             {draft, `where = event.type != "order.paid"`, "2026-09-20"},
		"no where":              {draft, "", "2026-09-20"},
		"its body":              {"total = event.data.total.amount", "total = event.data.total.sum", "2026-09-20"},
		"the order of a body":   {"id = event.data.id, customer = event.data.customer.name", "customer = event.data.customer.name, id = event.data.id", "2026-01-15"},
		"its types":             {`event "order.**"`, `event "order.*"`, "2026-01-15"},
		"a block less":          {second, "", "2026-09-20"},
		"a block that is empty": {"version \"2025-01-01\" {}", "version \"2025-01-01\" {}\nversion \"2024-01-01\" {}", "2024-01-01"},
	} {
		require.Equal(t, 1, strings.Count(threeVersions, change[0]), what)
		after := fingerprints(t, strings.Replace(threeVersions, change[0], change[1], 1))
		require.Equal(t, []string{"version " + change[2]}, differing(before, after), what)
	}
	first := "  event \"order.*\" {\n    " + draft + "\n    body  = { id = event.data.id, customer = event.data.customer, total = event.data.total.amount }\n  }\n"
	require.Equal(t, []string{"version 2026-09-20"}, differing(before, fingerprints(t, strings.Replace(threeVersions, first+second, second+first, 1))),
		"the first that takes an event counts")
}

func TestTheLayoutOfAFileHasNoFingerprint(t *testing.T) {
	t.Parallel()
	before := fingerprints(t, threeVersions)
	ugly := strings.NewReplacer(" = {", "={ # as it was\n", " }\n  }\n", ",\n}\n  }\n", `event.data.total`, `event.data["total"]`, "event.type !=", "(event.type) /* a type */ !=").Replace(threeVersions)
	require.NotEqual(t, threeVersions, ugly)
	require.Empty(t, differing(before, fingerprints(t, ugly)))
	require.Empty(t, differing(before, fingerprints(t, string(hclwrite.Format([]byte(ugly))))))
	require.Empty(t, differing(before, fingerprints(t, "# all of it\n\n\n"+threeVersions)))
}

// notCompared are the fields of a Config that no fingerprint has, and why. Whoever adds a field
// compares it, or says here why not; what is left out is named by the documentation of plan.
func notCompared() map[string]string {
	return map[string]string{
		"Database":               "where a process connects is its own",
		"Metrics":                "where a process listens is its own",
		"Log":                    "how a process logs is its own",
		"API.Listen":             "where a process listens is its own",
		"API.TLS":                "the same",
		"Secrets":                "they are secret",
		"Endpoints":              "tailpost.endpoint has them",
		"Blocks":                 "where something stands in a file is not what it says",
		"API.Keys.Origin":        "the same",
		"Versions.Origin":        "the same",
		"Catalogue.Files":        "what they say is compared",
		"Catalogue.Types.Place":  "where something stands in a file is not what it says",
		"Versions.Events.Where":  "TestAStepHasAnotherFingerprintWhereItDoesSomethingElse",
		"Versions.Events.Body":   "the same",
		"Outbox.Search":          "TestTheSearchHasAFingerprint",
		"API.Network.Proxy":      "it is not allowed",
		"Outbox.Start.Beginning": "TestEveryStartHasItsFingerprint",
		"Outbox.Start.At":        "the same",
	}
}

// another gives a field another value than it has, and reports whether it could.
func another(v reflect.Value) bool {
	switch v.Interface().(type) {
	case config.Secret:
		v.Set(reflect.ValueOf(config.NewSecret("hunter2")))
		return true
	case []netip.Prefix:
		v.Set(reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}))
		return true
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(`{"type": "object"}`)))
		return true
	case []byte:
		v.SetBytes([]byte("picture"))
		return true
	case map[string]string:
		v.Set(reflect.ValueOf(map[string]string{"region": "region"}))
		return true
	case []string:
		v.Set(reflect.ValueOf([]string{"another"}))
		return true
	}
	switch v.Kind() { //nolint:exhaustive // each says which other kind there is
	case reflect.String:
		v.SetString("another")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 7)
	default:
		return false
	}
	return true
}

// each calls visit for every field below v that no other field is below, by its path.
func each(t *testing.T, v reflect.Value, path string, visit func(path string, field reflect.Value)) {
	t.Helper()
	for i := range v.NumField() {
		field, at := v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, ".")
		if !v.Type().Field(i).IsExported() || notCompared()[at] != "" {
			continue
		}
		if was := reflect.New(field.Type()).Elem(); another(was) {
			visit(at, field)
			continue
		}
		if field.Kind() == reflect.Slice {
			if field.Len() == 0 {
				field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			}
			field = field.Index(0)
		}
		require.Equal(t, reflect.Struct, field.Kind(), "%s: say what another value of it is", at)
		each(t, field, at, visit)
	}
}

func TestEveryFieldOfAConfigurationIsComparedOrSaidNotToBe(t *testing.T) {
	t.Parallel()
	var cfg config.Config
	seen := map[string]bool{}
	each(t, reflect.ValueOf(&cfg).Elem(), "", func(path string, field reflect.Value) {
		was := reflect.New(field.Type()).Elem()
		was.Set(field)
		before := cfg.Fingerprints()
		require.True(t, another(field))
		after := cfg.Fingerprints()
		field.Set(was)
		block := strings.ToLower(strings.SplitN(path, ".", 2)[0])
		seen[block] = true
		if block == "versions" {
			require.NotEmpty(t, differing(before, after), path)
			return
		}
		require.Equal(t, []string{block}, differing(before, after), "%s: compare it, or say in notCompared why not", path)
	})
	require.Subset(t, slices.Collect(maps.Keys(seen)), slices.Collect(maps.Keys(cfg.Fingerprints().Blocks)))
}

func TestWhatNoFingerprintHas(t *testing.T) {
	t.Parallel()
	cfg := config.Config{
		API:     config.API{Listen: "127.0.0.1:1", Keys: []config.APIKey{{Name: "a", Secret: config.NewSecret("one")}, {Name: "b"}}},
		Network: config.Network{Proxy: config.NewSecret("http://one@proxy")}, Log: config.Log{Level: "info"},
		Catalogue: config.Catalogue{Files: []string{"a"}, Types: []config.EventType{{Name: "a", Schema: json.RawMessage(`{"a":1,"b":2}`)}, {Name: "b"}}},
	}
	other := cfg
	other.API = config.API{Listen: "127.0.0.1:2", TLS: config.TLS{Cert: "a"}, Keys: []config.APIKey{{Name: "b"}, {Name: "a", Secret: config.NewSecret("two")}}}
	other.Network.Proxy = config.NewSecret("http://two@proxy")
	other.Secrets.Keys, other.Log.Level, other.Database.Slot = []config.Secret{config.NewSecret("key")}, "debug", "other"
	other.Catalogue = config.Catalogue{Files: []string{"b"}, Types: []config.EventType{{Name: "b"}, {Name: "a", Place: "b", Schema: json.RawMessage(`{"b": 2, "a": 1}`)}}}
	require.Empty(t, differing(cfg.Fingerprints(), other.Fingerprints()))
	other.Network.Proxy = config.Secret{}
	require.Equal(t, []string{"network"}, differing(cfg.Fingerprints(), other.Fingerprints()), "that there is one shows")
}

// Of the URL of a fan-out the hosts count: neither who logs in, nor which of them is asked first.
func TestTheFingerprintOfAFanout(t *testing.T) {
	t.Parallel()
	of := func(lines string) config.Fingerprints {
		return fingerprints(t, threeVersions+"\nfanout \"nats\" {\n"+lines+"}\n")
	}
	const url = "  url = \"nats://n1,nats://n2:4223\"\n"
	before := of(url + "  token = env(\"TOKEN\")\n")
	require.Empty(t, differing(before, of("  url = \"tls://N2:4223/, nats://n1:4222\"\n  partitions = 16\n  replicas = 1\n  token = env(\"ERP_SECRET\")\n")))
	require.Empty(t, differing(of("  url = env(\"NATS_URL\")\n"), of("  url = \"nats://n1.example.com,nats://n2.example.com:4223\"\n")))
	for what, lines := range map[string]string{
		"another host":          "  url = \"nats://n1,nats://n3:4223\"\n  token = env(\"TOKEN\")\n",
		"a host less":           "  url = \"nats://n1\"\n  token = env(\"TOKEN\")\n",
		"another port":          "  url = \"nats://n1,nats://n2\"\n  token = env(\"TOKEN\")\n",
		"other partitions":      url + "  token = env(\"TOKEN\")\n  partitions = 17\n",
		"other replicas":        url + "  token = env(\"TOKEN\")\n  replicas = 3\n",
		"another way to log in": url + "  user = \"u\"\n  password = env(\"TOKEN\")\n",
	} {
		require.Equal(t, []string{"fanout"}, differing(before, of(lines)), what)
	}
	// A release that knew no fan-out noted nothing for it.
	none := fingerprints(t, threeVersions)
	require.Empty(t, none.Blocks["fanout"])
	require.Regexp(t, "^[0-9a-f]{16}$", before.Blocks["fanout"])
}

func TestTheSearchHasAFingerprint(t *testing.T) {
	t.Parallel()
	of := func(search string) config.Fingerprints {
		return fingerprints(t, threeVersions+"\noutbox {\n  search = "+search+"\n}\n")
	}
	require.Empty(t, differing(of(`{ order = event.data.id }`), of(`{order=event.data["id"]} # by it`)))
	require.Equal(t, []string{"outbox"}, differing(of(`{ order = event.data.id }`), of(`{ order = event.data.nr }`)))
	require.Equal(t, []string{"outbox"}, differing(of(`{ order = event.data.id }`), fingerprints(t, threeVersions)))
}

// Names have no order of their own in Go, and the fingerprint is compared by another process.
func TestTheFingerprintOfManyNamesIsAlwaysTheSame(t *testing.T) {
	t.Parallel()
	cfg := config.Config{Outbox: config.Outbox{Mapping: outbox.Mapping{Extra: map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}}}}
	before := cfg.Fingerprints()
	for range 50 {
		require.Equal(t, before, cfg.Fingerprints())
	}
}

func TestEveryStartHasItsFingerprint(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	for _, start := range []config.Start{{}, {Beginning: true}, {At: noon}, {At: noon.Add(time.Nanosecond)}} {
		cfg := config.Config{Outbox: config.Outbox{Start: start}}
		seen[cfg.Fingerprints().Blocks["outbox"]] = true
	}
	require.Len(t, seen, 4)
	east := config.Config{Outbox: config.Outbox{Start: config.Start{At: noon.In(time.FixedZone("", 3600))}}}
	require.True(t, seen[east.Fingerprints().Blocks["outbox"]], "the same time")
}

// released sets something in every block that has a fingerprint.
const released = threeVersions + `
outbox {
  columns = { id = "id", type = "type", payload = "payload", extra = { region = "region", shop = "shop" } }
  start   = "2026-03-14T12:00:00Z"
  search  = { order = event.data.id }
}
attempts { headers = true }
retention { dead = "240h" }
network {
  allow = ["10.1.0.0/16"]
  proxy = env("EGRESS_PROXY")
}
api {
  key "ci" {
    secret = env("TOKEN_OF_TWENTY_CHARACTERS")
    scopes = ["endpoints:read"]
  }
  quotas { endpoints = 7 }
}
panel {
  portal { name = "Shop" }
}
fanout "nats" {
  url        = "nats://n1.example.com"
  partitions = 7
}
`

// A later release must not see a change where there is none. If this fails because a Go name or the
// way of writing changed, raise fingerprintForm; if a default changed, write the new fingerprints
// here.
func TestTheFingerprintsOfAReleaseStay(t *testing.T) {
	t.Parallel()
	o := options()
	o.Getenv = func(name string) (string, bool) {
		if value, ok := getenv(name); ok {
			return value, ok
		}
		return strings.Repeat("hunter2", 3), true
	}
	cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte(released)}, o)
	require.Empty(t, diags)
	cfg.Catalogue.Types = []config.EventType{{Name: "order.paid", Schema: json.RawMessage(`{"type":"object"}`)}}
	require.Equal(t, config.Fingerprints{
		Form:     1,
		Versions: map[string]string{"2025-01-01": "", "2026-01-15": "553c4e0658d31f15", "2026-09-20": "b63437e344fcb9fb"},
		Blocks: map[string]string{
			"api": "5feea937139b8145", "attempts": "f20ce8859585df1a", "catalogue": "f536b4f0159eaaea", "fanout": "2f2e602ea594cace", "network": "5a9c0ced6c5c7a90",
			"outbox": "3138ed49b6b4382a", "panel": "c3cf2d879ef6e573", "retention": "ffec440b2d5cbf3b",
		},
	}, cfg.Fingerprints())
}

// TestRoutingIsWhichEndpointGetsWhat: processes of a fleet have to agree on it, and on nothing else
// of an endpoint.
func TestRoutingIsWhichEndpointGetsWhat(t *testing.T) {
	t.Parallel()
	const before = `
database {
  url = "postgres://localhost/app"
}
endpoint "a" {
  url    = "https://a.example"
  secret = env("ERP_SECRET")
  subscription {
    events = ["order.*"]
  }
}
endpoint "b" {
  url    = "https://b.example"
  secret = env("ERP_SECRET")
}
`
	routing := func(t *testing.T, text string) string {
		t.Helper()
		cfg, diags := parse(t, text)
		require.Empty(t, diags)
		return cfg.Routing()
	}
	for name, c := range map[string]struct {
		old, new string
		same     bool
	}{
		"a url":       {"https://a.example", "https://c.example", true},
		"a timeout":   {"url    = \"https://b.example\"", "url    = \"https://b.example\"\n timeout = \"3s\"", true},
		"a name":      {"endpoint \"b\"", "endpoint \"c\"", false},
		"events":      {`["order.*"]`, `["order.*", "invoice.*"]`, false},
		"a condition": {`["order.*"]`, "[\"order.*\"]\n where = event.type == \"order.paid\"", false},
		"a tenant":    {"url    = \"https://b.example\"", "url    = \"https://b.example\"\n tenant = \"acme\"", false},
		"an order":    {"url    = \"https://b.example\"", "url    = \"https://b.example\"\n ordering = \"key\"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := strings.Replace(before, c.old, c.new, 1)
			require.NotEqual(t, before, after)
			require.Equal(t, c.same, routing(t, before) == routing(t, after))
		})
	}
}
