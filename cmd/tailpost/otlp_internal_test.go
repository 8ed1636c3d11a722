package main

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// The variables are OpenTelemetry's, and mean what they mean elsewhere.
func TestTelemetryIsExportedWhereTheEnvironmentAsksForIt(t *testing.T) {
	t.Parallel()
	for environment, want := range map[string]struct {
		traces, metrics bool
		wrong           string
	}{
		"":                                     {},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c": {traces: true, metrics: true},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c":                                         {traces: true},
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c":                                        {metrics: true},
		"OTEL_TRACES_EXPORTER=otlp":                                                           {traces: true},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_METRICS_EXPORTER=none":                     {traces: true},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=TRUE":                         {},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=false":                        {traces: true, metrics: true},
		"OTEL_METRICS_EXPORTER=prometheus":                                                    {wrong: "OTEL_METRICS_EXPORTER: "},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf":      {traces: true, metrics: true},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_PROTOCOL=grpc":               {wrong: "OTEL_EXPORTER_OTLP_PROTOCOL: "},
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc":                   {wrong: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "},
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=grpc":                  {traces: true},
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                                                    {},
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf OTEL_X=y": {traces: true},
	} {
		set := make(map[string]string)
		for assignment := range strings.FieldsSeq(environment) {
			name, value, _ := strings.Cut(assignment, "=")
			set[name] = value
		}
		spans, readings, err := otlpExporters(t.Context(), func(name string) string { return set[name] }, zerolog.Nop())
		if want.wrong != "" {
			require.ErrorContains(t, err, want.wrong, environment)
			continue
		}
		require.NoError(t, err, environment)
		require.Equal(t, want.traces, spans != nil, environment)
		require.Equal(t, want.metrics, readings != nil, environment)
	}
}

// A collector that is gone fills no log, and its address, which may hold a key, is in none.
func TestWhatIsNotExportedIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	handle := exportErrors(zerolog.New(&log), func() time.Time { return now })
	for _, pause := range []time.Duration{0, time.Second, 58 * time.Second, time.Second, time.Second, 59 * time.Second} {
		now = now.Add(pause)
		handle(&url.Error{Op: "Post", URL: "http://collector/?key=topsecret", Err: errors.New("gone at " + now.Format(time.TimeOnly))})
	}
	now = now.Add(time.Minute)
	handle(errors.New("gone at " + now.Format(time.TimeOnly)))
	require.NotContains(t, log.String(), "topsecret")
	var said []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(line, `"gone at `)
		said = append(said, line[:len(time.TimeOnly)])
	}
	require.Equal(t, []string{"12:00:00", "12:01:00", "12:02:00", "12:03:00"}, said)
}
