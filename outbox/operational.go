package outbox

import "strings"

// Types of operational events: what Tailpost tells about its own deliveries. They reach
// subscriptions that name them, as "webhook.failed" or "webhook.*" do, and no others: an endpoint
// that wants all events wants the application's.
const (
	// TypeFailed says that a delivery is dead: it waits for a person.
	TypeFailed = "webhook.failed"
	// TypeFailing says that an endpoint fails again and again, for the first time since its last
	// success.
	TypeFailing = "webhook.failing"
	// TypeRecovered says that an endpoint that was failing takes events again.
	TypeRecovered = "webhook.recovered"
	// TypeDisabling says that an endpoint will be disabled unless it takes an event: half of
	// disable_after is over without one, or three quarters.
	TypeDisabling = "webhook.disabling"
	// TypeDisabled says that Tailpost has disabled an endpoint.
	TypeDisabled = "webhook.disabled"
)

// OperationalID begins the id of every operational event.
const OperationalID = "op_"

const operationalType = "webhook."

// Operational says whether the event is one of Tailpost's own, and not an application's that only
// looks like one.
func (e *Event) Operational() bool {
	if !strings.HasPrefix(e.Type, operationalType) || !strings.HasPrefix(e.ID, OperationalID) {
		return false
	}
	switch e.Type {
	case TypeFailed, TypeFailing, TypeRecovered, TypeDisabling, TypeDisabled:
		return true
	}
	return false
}
