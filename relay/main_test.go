package relay_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestMain(m *testing.M) {
	// A relay that stops breaks off its statements; pgx asks the server to cancel them, for some
	// seconds at most.
	cancels := goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgconn.(*PgConn).asyncClose.func1")
	goleak.VerifyTestMain(m, append(kit.LeftByNATS(), cancels, goleak.Cleanup(func(code int) {
		kit.Cleanup()
		os.Exit(code) //nolint:forbidigo // goleak leaves the exit to its cleanup
	}))...)
}
