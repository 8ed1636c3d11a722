package fleet_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kit.LeftByNATS()...) }
