package outbox

// EndpointPublication is the name of the publication of tailpost.endpoint that belongs to a slot.
func EndpointPublication(slot string) string { return slot + "_endpoint" }
