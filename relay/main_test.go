package relay_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		kit.Cleanup()
		os.Exit(code) //nolint:forbidigo // goleak leaves the exit to its cleanup
	}))
}
