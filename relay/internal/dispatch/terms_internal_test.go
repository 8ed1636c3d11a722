package dispatch

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestTerms_areSharedByEndpointsThatSayTheSame: what many endpoints have in common is in memory
// once, and an endpoint that differs in anything has terms of its own.
func TestTerms_areSharedByEndpointsThatSayTheSame(t *testing.T) {
	t.Parallel()
	var shared lastTerms
	one := config.Endpoint{ID: "erp", Retry: config.Retry{Schedule: config.DefaultSchedule()}}
	same := config.Endpoint{ID: "crm", Retry: config.Retry{Schedule: config.DefaultSchedule()}}
	first := shared.of(&one)
	require.Same(t, first, shared.of(&same))
	for i, change := range []func(e *config.Endpoint){
		func(e *config.Endpoint) { e.Batch.Events++ },
		func(e *config.Endpoint) { e.Concurrency++ },
		func(e *config.Endpoint) { e.OnDead = config.OnDeadHold },
		func(e *config.Endpoint) { e.Circuit.Failures++ },
		func(e *config.Endpoint) { e.Timeout++ },
		func(e *config.Endpoint) { e.ParkAfter++ },
		func(e *config.Endpoint) { e.DisableAfter++ },
		func(e *config.Endpoint) { e.Retry.Schedule = e.Retry.Schedule[1:] },
		func(e *config.Endpoint) { e.Retry.Success = config.Statuses{"2xx"} },
		func(e *config.Endpoint) { e.Retry.Permanent = config.Statuses{"409"} },
	} {
		other := same
		change(&other)
		first := shared.of(&same)
		require.NotSame(t, first, shared.of(&other), fmt.Sprint("change ", i))
	}
}

// TestLane_isSmall: there is a lane for every endpoint, whether it has anything to send or not.
func TestLane_isSmall(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, reflect.TypeFor[lane]().Size(), uintptr(896))
}
