package panel

import (
	"net/http"
	"sort"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// overviewPage says how all is.
type overviewPage struct {
	Relay      *api.Relay // nil: not for this key
	Complete   api.Completeness
	Endpoints  int
	More       bool // there are more endpoints than were looked at
	Active     int
	Trouble    []endpointRow
	Delivered  int64 // attempts of Trend that delivered
	Failed     int64 // and that did not
	Errors     []failures
	Dead       int64
	Pending    int64
	Waits      bool // Dead and Pending are known
	First      bool // there is no endpoint yet
	NoEvent    bool // nothing was ever written, as far as can be told
	FirstEvent string
	Trend      []point
	Parts      breakdown

	TroubleCopied, ErrorsCopied []copied
}

// eventsCompared is of how many of the newest events pages say whether one left no trace.
const eventsCompared = "250"

// overviewRows bounds each list of the overview.
const overviewRows = 8

func showOverview(v *visit) error {
	body := &overviewPage{FirstEvent: firstEventSQL(&v.panel.config().Outbox)}
	may := v.may()
	var err error
	if may.ReadEndpoints {
		if err = fillEndpoints(v, body); err != nil {
			return err
		}
		if body.Trend, err = readTrend(v, ""); err != nil {
			return err
		}
		for i := range body.Trend {
			body.Delivered, body.Failed = body.Delivered+body.Trend[i].Delivered, body.Failed+body.Trend[i].Failed
		}
		if body.Parts, err = readBreakdown(v, ""); err != nil {
			return err
		}
	}
	if may.ReadDeliveries {
		if err := fillErrors(v, body); err != nil {
			return err
		}
	}
	if may.ReadDeliveries && may.All {
		body.Relay = new(api.Relay)
		if err := v.get("/v1/relay", nil, body.Relay); err != nil {
			return err
		}
		if err := v.get("/v1/relay/completeness", queryOf("events", eventsCompared), &body.Complete); err != nil {
			return err
		}
		body.Dead, body.Pending, body.Waits = body.Relay.Queue.Dead, body.Relay.Queue.Pending, true
		events := &body.Complete.Events
		body.NoEvent = may.ReadEndpoints && len(body.Trend) == 0 && body.Dead+body.Pending == 0 && events.Whole && events.Seen == 0
	}
	v.show(http.StatusOK, "overview", "Overview", "overview", body)
	return nil
}

// fillEndpoints counts the endpoints and puts those in trouble first.
func fillEndpoints(v *visit, body *overviewPage) error {
	known, err := readNames(v)
	if err != nil {
		return err
	}
	body.Endpoints, body.More, body.First = len(known), len(known) == namesKnown, len(known) == 0
	for id := range known {
		if known[id].Status == "active" {
			body.Active++
		}
	}
	// Among very many, those are not the newest.
	var list api.Page[api.Endpoint]
	call := queryOf("stats", "false", "trouble", "true")
	if err := v.get("/v1/endpoints", call, &list); err != nil {
		return err
	}
	s := statement{
		columns: "id, name, url, status, disabled_reason, failing_since", from: "tailpost.endpoint",
		where: []string{"(status <> 'active' OR failing_since IS NOT NULL)"},
		order: "(status = 'disabled') DESC, (failing_since IS NOT NULL) DESC, created_at DESC, id DESC", limit: overviewRows,
	}
	s.equal("tenant", v.session.Tenant())
	body.TroubleCopied = ofPart("trouble", copiesOf(v, s.String(), "/v1/endpoints", call, "endpoints"))
	for i := range list.Data {
		body.Trouble = append(body.Trouble, endpointRow{Endpoint: list.Data[i]})
	}
	rank := func(e *endpointRow) int {
		switch {
		case e.Status == "disabled":
			return 0
		case e.FailingSince != nil:
			return 1
		}
		return 2
	}
	sort.SliceStable(body.Trouble, func(i, j int) bool { return rank(&body.Trouble[i]) < rank(&body.Trouble[j]) })
	body.Trouble = body.Trouble[:min(overviewRows, len(body.Trouble))]
	return nil
}

// relayPage says how the relay is.
type relayPage struct {
	api.Relay

	Complete         api.Completeness
	Copies           []copied
	PartitionsCopied []copied
	GapsCopied       []copied
}

func showRelay(v *visit) error {
	body := &relayPage{}
	if err := v.get("/v1/relay", nil, &body.Relay); err != nil {
		return err
	}
	if err := v.get("/v1/relay/completeness", queryOf("events", eventsCompared), &body.Complete); err != nil {
		return err
	}
	s := statement{columns: "*", from: "tailpost.relay", where: []string{"partition_of IS NULL"}, order: "slot"}
	body.Copies = copiesOf(v, s.String(), "/v1/relay", nil, "status")
	partitions := statement{
		columns: "slot, owner, epoch, settled_lsn, settled_at, updated_at", from: "tailpost.relay", where: []string{"partitions > 0"}, order: "length(slot), slot",
	}
	partitions.equal("partition_of", body.Slot)
	body.PartitionsCopied = ofPart("partitions", copiesOf(v, partitions.String(), "/v1/relay", nil, "status"))
	gaps := statement{columns: "detected_at, why, note, events, deliveries, at AS healed_at", from: "tailpost.gap", order: "at DESC, id DESC", limit: len(body.Complete.Gaps)}
	gaps.equal("slot", body.Slot)
	body.GapsCopied = ofPart("gaps", copiesOf(v, gaps.String(), "/v1/relay/completeness", nil))
	v.show(http.StatusOK, "relay", "Relay", "relay", body)
	return nil
}
