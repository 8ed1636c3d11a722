package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// otlpExporters makes the exporters that the standard variables of OpenTelemetry ask for; nil: none
// does. They are asked for by an address (OTEL_EXPORTER_OTLP_ENDPOINT, or that of one signal), or
// by OTEL_TRACES_EXPORTER or OTEL_METRICS_EXPORTER = otlp. Everything else, such as headers and
// certificates, the exporters read themselves.
func otlpExporters(ctx context.Context, getenv func(string) string, log zerolog.Logger) (spans sdktrace.SpanExporter, readings sdkmetric.Exporter, err error) {
	traces, err := otlpWanted(getenv, "TRACES")
	if err != nil {
		return nil, nil, err
	}
	metrics, err := otlpWanted(getenv, "METRICS")
	if err != nil {
		return nil, nil, err
	}
	if traces || metrics {
		otel.SetErrorHandler(exportErrors(log, time.Now))
	}
	if traces {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("export traces: %w", withoutURL(err))
		}
		spans = exporter
	}
	if metrics {
		exporter, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("export metrics: %w", withoutURL(err))
		}
		readings = exporter
	}
	return spans, readings, nil
}

// otlpWanted reports whether the environment asks for a signal.
func otlpWanted(getenv func(string) string, signal string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	name := "OTEL_" + signal + "_EXPORTER"
	switch getenv(name) {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") == "" {
			return false, nil
		}
	default:
		return false, fmt.Errorf(`%s: tailpost has the exporters "otlp" and "none"`, name)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch getenv(name) {
		case "http/protobuf":
			return true, nil
		case "":
		default:
			return false, fmt.Errorf(`%s: tailpost speaks "http/protobuf" only, port 4318 of most collectors`, name)
		}
	}
	return true, nil
}

// exportErrors logs that spans or metrics were not exported, once a minute: a collector that is
// gone stops nothing.
func exportErrors(log zerolog.Logger, now func() time.Time) otel.ErrorHandlerFunc {
	said := make(chan time.Time, 1)
	said <- time.Time{}
	return func(err error) {
		last := <-said
		if now().Sub(last) >= time.Minute {
			last = now()
			log.Warn().Err(withoutURL(err)).Msg("spans or metrics not exported")
		}
		said <- last
	}
}

// withoutURL is what went wrong with a request, without where it went.
func withoutURL(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}
