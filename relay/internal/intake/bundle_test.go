package intake_test

import (
	"context"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

type ctx = context.Context // shorter in a literal

// noVersions is a ledger without endpoints made through the API.
type noVersions struct{}

func (noVersions) Versions(context.Context, outbox.LSN) ([]ledger.EndpointRow, error) {
	return nil, nil
}

func endpointOf(id string) dispatch.Endpoint {
	return dispatch.Endpoint{Config: config.Endpoint{ID: id}, State: ledger.EndpointState{Status: "active"}}
}

func textValue(s string) outbox.Value { return outbox.Value{Kind: outbox.TextValue, Data: []byte(s)} }

// endpointColumns are those of tailpost.endpoint that a row is read by.
var endpointColumns = []string{
	"id", "tenant", "name", "url", "description", "subscriptions", "policy", "status", "disabled_reason", "failing_since", "source",
	"secrets", "verified", "version",
}

var endpointTable = func() *source.Table {
	t := &source.Table{Schema: "tailpost", Name: "endpoint"}
	for _, name := range endpointColumns {
		t.Columns = append(t.Columns, outbox.Column{Name: name})
	}
	return t
}()

// endpointRow is the row of an endpoint of the configuration.
func endpointRow(id, status string) []outbox.Value {
	row := make([]outbox.Value, len(endpointColumns))
	for i, name := range endpointColumns {
		row[i] = outbox.Value{Kind: outbox.NullValue}
		switch name {
		case "id":
			row[i] = textValue(id)
		case "status":
			row[i] = textValue(status)
		case "source":
			row[i] = textValue(ledger.SourceConfig)
		case "version":
			row[i] = textValue("1")
		}
	}
	return row
}

var outboxTable = relation()
