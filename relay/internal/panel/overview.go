package panel

import (
	"net/http"
	"sort"
	"strconv"
	"strings"

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
	Groups     []group
	Recent     []*attemptRow
	Dead       int64
	Pending    int64
	Waits      bool // Dead and Pending are known
	First      bool // there is no endpoint yet
	NoEvent    bool // nothing was ever written, as far as can be told
	FirstEvent string
	Trend      []point
	Parts      breakdown

	TroubleCopied, GroupsCopied []copied
}

// eventsCompared is of how many of the newest events pages say whether one left no trace.
const eventsCompared = "250"

const (
	// overviewRows bounds each list of the overview.
	overviewRows = 8
	// failuresGrouped is how many of the last failures of either outcome are grouped.
	failuresGrouped = "100"
)

// group is failures of one kind at one endpoint.
type group struct {
	Endpoint, Name, Kind string
	Count                int
	Last                 *attemptRow
}

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
		if err := fillDeliveries(v, body); err != nil {
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

// fillDeliveries groups what failed last, by endpoint and kind.
func fillDeliveries(v *visit, body *overviewPage) error {
	known, err := readNames(v)
	if err != nil {
		return err
	}
	var failed []api.Attempt
	for _, outcome := range []string{"retry", "dead"} {
		var list api.Page[api.Attempt]
		q := queryOf("outcome", outcome, "limit", failuresGrouped, "since", sinceOf(v, "24h"))
		if err := v.get("/v1/attempts", q, &list); err != nil {
			return err
		}
		failed = append(failed, list.Data...)
	}
	sort.SliceStable(failed, func(i, j int) bool { return failed[i].AttemptedAt.After(failed[j].AttemptedAt) })
	index := make(map[[2]string]int)
	for i := range failed {
		a := &failed[i]
		kind := kindOf(a)
		at, ok := index[[2]string{a.EndpointID, kind}]
		if !ok {
			at = len(body.Groups)
			index[[2]string{a.EndpointID, kind}] = at
			body.Groups = append(body.Groups, group{
				Endpoint: a.EndpointID, Name: known.Of(a.EndpointID), Kind: kind, Last: &attemptRow{Attempt: *a, root: v.site.root},
			})
		}
		body.Groups[at].Count++
	}
	sort.SliceStable(body.Groups, func(i, j int) bool { return body.Groups[i].Count > body.Groups[j].Count })
	body.Groups = body.Groups[:min(overviewRows, len(body.Groups))]
	call := queryOf("outcome", "retry", "limit", failuresGrouped, "since", sinceOf(v, "24h"))
	body.GroupsCopied = ofPart("errors", copiesOf(v, errorsSQL(v), "/v1/attempts", call, "attempts", "--outcome", "retry", "--since", call.Get("since")))
	return nil
}

// errorsSQL groups what failed last as the page does.
func errorsSQL(v *visit) string {
	last := func(outcome string) string {
		s := statement{
			columns: "endpoint_id, status_code, error, attempted_at", from: "tailpost.attempt", order: "attempted_at DESC",
			where: []string{"outcome = " + quoteSQL(outcome), "outcome <> 'delivered'"}, // for its index
		}
		s.limit, _ = strconv.Atoi(failuresGrouped)
		s.condition("attempted_at >= %s", sinceOf(v, "24h"))
		s.tenantOf("endpoint_id", v.session.Tenant())
		return "(" + strings.TrimSuffix(s.String(), ";") + ")"
	}
	s := statement{
		columns: "endpoint_id, COALESCE('answer ' || status_code, error) AS what_failed, count(*) AS attempts, max(attempted_at) AS last",
		from:    "(\n" + last("retry") + "\nUNION ALL\n" + last("dead") + "\n) AS a", group: "1, 2", order: "attempts DESC", limit: overviewRows,
	}
	return s.String()
}

// kindOf returns the kind of a failure.
func kindOf(a *api.Attempt) string {
	if a.StatusCode != 0 {
		return "answer " + textOf(a.StatusCode)
	}
	const length = 80
	return short(length, a.Error)
}

// relayPage says how the relay is.
type relayPage struct {
	api.Relay

	Complete   api.Completeness
	Copies     []copied
	GapsCopied []copied
}

func showRelay(v *visit) error {
	body := &relayPage{}
	if err := v.get("/v1/relay", nil, &body.Relay); err != nil {
		return err
	}
	if err := v.get("/v1/relay/completeness", queryOf("events", eventsCompared), &body.Complete); err != nil {
		return err
	}
	s := statement{columns: "*", from: "tailpost.relay", order: "slot"}
	body.Copies = copiesOf(v, s.String(), "/v1/relay", nil, "status")
	gaps := statement{columns: "detected_at, why, note, events, deliveries, at AS healed_at", from: "tailpost.gap", order: "at DESC, id DESC", limit: len(body.Complete.Gaps)}
	gaps.equal("slot", body.Slot)
	body.GapsCopied = ofPart("gaps", copiesOf(v, gaps.String(), "/v1/relay/completeness", nil))
	v.show(http.StatusOK, "relay", "Relay", "relay", body)
	return nil
}
