package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// prometheus scrapes relays and evaluates the rules, at moments a minute apart.
type prometheus struct {
	storage *teststorage.TestStorage
	query   rules.QueryFunc
	rules   []*rules.AlertingRule
	now     time.Time
	targets map[string]string        // address by instance
	stored  map[string]labels.Labels // what the last scrape had, by text
	pretend map[string]float64       // values instead of those that were scraped
}

// samples are values by name and labels, such as `tailpost_deliveries endpoint="erp" state="dead"`.
type samples map[string]float64

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	require.NoError(t, err)
	return string(text)
}

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	p := &prometheus{
		storage: teststorage.New(t), now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC),
		targets: make(map[string]string), stored: make(map[string]labels.Labels),
	}
	language := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: language})
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	p.query = rules.EngineQueryFunc(engine, p.storage)
	text := read(t, filepath.Join("examples", "prometheus", "tailpost.rules.yaml"))
	groups, errs := rulefmt.Parse([]byte(text), false, model.LegacyValidation, language, slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	for _, group := range groups.Groups {
		for i := range group.Rules {
			p.rules = append(p.rules, newRule(t, &group.Rules[i], group.Rules[i].Expr))
		}
	}
	require.NotEmpty(t, p.rules)
	return p
}

func newRule(t *testing.T, rule *rulefmt.Rule, text string) *rules.AlertingRule {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	require.NoError(t, err)
	return rules.NewAlertingRule(rule.Alert, expr, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
		labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
}

// lower replaces the threshold of a rule by one that a test can reach.
func (p *prometheus) lower(t *testing.T, name, threshold, lower string) {
	t.Helper()
	for i, rule := range p.rules {
		if rule.Name() == name {
			text := rule.Query().String()
			require.Contains(t, text, threshold)
			p.rules[i] = newRule(t, &rulefmt.Rule{
				Alert: name, For: model.Duration(rule.HoldDuration()), Labels: rule.Labels().Map(), Annotations: rule.Annotations().Map(),
			}, strings.Replace(text, threshold, lower, 1))
		}
	}
}

// scrapes has an instance scraped from now on; without an address: no more.
func (p *prometheus) scrapes(instance, address string) {
	p.targets[instance] = address
	if address == "" {
		delete(p.targets, instance)
	}
}

// fetch reads the metrics of an instance.
func fetch(ctx context.Context, address string) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	text := expfmt.NewTextParser(model.LegacyValidation)
	families, err := text.TextToMetricFamilies(response.Body)
	seen.Lock()
	defer seen.Unlock()
	if seen.shown == nil {
		seen.shown = make(map[string]bool)
	}
	for name := range families {
		if strings.HasPrefix(name, "tailpost_") {
			seen.shown[name] = true
		}
	}
	return families, err
}

// flatten calls add for each sample of Tailpost's but those of histograms, which no rule uses.
func flatten(families map[string]*dto.MetricFamily, add func(name string, of []*dto.LabelPair, v float64)) {
	for name, family := range families {
		if !strings.HasPrefix(name, "tailpost_") || family.GetType() == dto.MetricType_HISTOGRAM {
			continue
		}
		for _, metric := range family.GetMetric() {
			add(name, metric.GetLabel(), metric.GetCounter().GetValue()+metric.GetGauge().GetValue()+metric.GetUntyped().GetValue())
		}
	}
}

// scrape stores what every instance shows at the moment.
func (p *prometheus) scrape(t *testing.T) {
	t.Helper()
	appender := p.storage.Appender(t.Context())
	stored := make(map[string]labels.Labels)
	for instance, address := range p.targets {
		families, err := fetch(t.Context(), address)
		require.NoError(t, err)
		flatten(families, func(name string, of []*dto.LabelPair, v float64) {
			builder := labels.NewBuilder(labels.EmptyLabels()).Set("__name__", name).Set("job", "tailpost").Set("instance", instance)
			for _, label := range of {
				builder.Set(label.GetName(), label.GetValue())
			}
			if pretended, is := p.pretend[name]; is {
				v = pretended
			}
			series := builder.Labels()
			_, err := appender.Append(0, series, p.now.UnixMilli(), v)
			require.NoError(t, err)
			stored[series.String()] = series
		})
	}
	for text, series := range p.stored {
		if _, still := stored[text]; !still {
			_, err := appender.Append(0, series, p.now.UnixMilli(), math.Float64frombits(value.StaleNaN))
			require.NoError(t, err)
		}
	}
	p.stored = stored
	require.NoError(t, appender.Commit())
}

// minutes lets time pass.
func (p *prometheus) minutes(t *testing.T, n int) {
	t.Helper()
	for range n {
		p.now = p.now.Add(time.Minute)
		p.scrape(t)
		for _, rule := range p.rules {
			_, err := rule.Eval(t.Context(), 0, p.now, p.query, nil, 0)
			require.NoError(t, err, rule.Name())
		}
	}
}

// shows waits until the first instance shows what a test has done; the database is asked seldom.
func (p *prometheus) shows(t *testing.T, is func(m samples) bool) {
	t.Helper()
	kit.Eventually(t, kit.Patience, func() error {
		for _, address := range p.targets {
			families, err := fetch(t.Context(), address)
			if err != nil {
				return err
			}
			found := make(samples)
			flatten(families, func(name string, of []*dto.LabelPair, v float64) {
				texts := make([]string, 0, len(of))
				for _, label := range of {
					texts = append(texts, fmt.Sprintf(" %s=%q", label.GetName(), label.GetValue()))
				}
				sort.Strings(texts)
				found[name+strings.Join(texts, "")] = v
			})
			if !is(found) {
				return errors.New("the relay does not show it")
			}
		}
		return nil
	})
}

// active lists the alerts that fire, or wait until they may.
func (p *prometheus) active() []string {
	var names []string
	for _, rule := range p.rules {
		for _, alert := range rule.ActiveAlerts() {
			names = append(names, rule.Name()+" "+alert.Labels.Get("endpoint"))
		}
	}
	return names
}

// firing reports whether an alert fires, of an endpoint where one is named.
func (p *prometheus) firing(t *testing.T, name, endpoint string) bool {
	t.Helper()
	for _, rule := range p.rules {
		if rule.Name() != name {
			continue
		}
		for _, alert := range rule.ActiveAlerts() {
			if alert.State == rules.StateFiring && alert.Labels.Get("endpoint") == endpoint {
				require.NotContains(t, alert.Annotations.Get("description"), "<error", "its template")
				return true
			}
		}
		return false
	}
	require.Fail(t, "no such rule", name)
	return false
}

// fires requires that an alert fires once some minutes have passed, and no sooner than its rule
// says.
func (p *prometheus) fires(t *testing.T, name, endpoint string, minutes int) {
	t.Helper()
	p.minutes(t, minutes)
	require.True(t, p.firing(t, name, endpoint), "%s does not fire; active are %v", name, p.active())
	seen.Lock()
	defer seen.Unlock()
	if seen.fired == nil {
		seen.fired, seen.cleared = make(map[string]bool), make(map[string]bool)
	}
	seen.fired[name] = true
}

// clears requires that an alert has ended once some minutes have passed.
func (p *prometheus) clears(t *testing.T, name string, minutes int) {
	t.Helper()
	p.minutes(t, minutes)
	for _, active := range p.active() {
		require.False(t, strings.HasPrefix(active, name+" "), "%s is still active", active)
	}
	seen.Lock()
	defer seen.Unlock()
	seen.cleared[name] = true
}
