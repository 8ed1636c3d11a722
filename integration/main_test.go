package integration_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(kit.LeftByNATS(), goleak.Cleanup(func(code int) {
		kit.Cleanup()
		os.Exit(code)
	}))...)
}

// soaks reports whether tests may take their time, as those of make soak do.
func soaks() bool { return os.Getenv("TAILPOST_SOAK") != "" }

// fast is an endpoint whose retries come quickly.
const fast = `
  retry { schedule = ["50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms"] }
`

// inOrder is an endpoint that gets events in the order of their commits.
const inOrder = `
  ordering = "strict"
`

type testBundle struct {
	db       *kit.Database
	receiver *kit.Receiver
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	return &testBundle{db: kit.NewDatabase(t), receiver: kit.NewReceiver(t)}
}

// endpoint is an endpoint of the same name at the receiver's path of that name.
func (b *testBundle) endpoint(id, hcl string) kit.Endpoint {
	return kit.Endpoint{ID: id, URL: b.receiver.URL("/" + id), Secret: []string{signature.GenerateSecret()}, HCL: hcl}
}
