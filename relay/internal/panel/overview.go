package panel

import (
	"net/http"
	"sort"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// overviewPage says how all is.
type overviewPage struct {
	Relay     *api.Relay // nil: not for this key
	Complete  api.Completeness
	Endpoints int
	More      bool // there are more endpoints than were looked at
	Active    int
	Trouble   []endpointRow
	Delivered int64 // attempts of Trend that delivered
	Failed    int64 // and that did not
	Groups    []group
	Recent    []*attemptRow
	Dead      int64
	Pending   int64
	Waits     bool // Dead and Pending are known
	First     bool // there is no endpoint yet
	Table     string
	Trend     []point
	Parts     breakdown
}

// eventsCompared is of how many of the newest events pages say whether one left no trace.
const eventsCompared = "250"

// group is failures of one kind at one endpoint.
type group struct {
	Endpoint, Name, Kind string
	Count                int
	Last                 *attemptRow
}

func showOverview(v *visit) error {
	body := &overviewPage{Table: v.panel.config().Outbox.Mapping.Table}
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
	if err := v.get("/v1/endpoints", queryOf("stats", "false", "trouble", "true"), &list); err != nil {
		return err
	}
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
	const most = 8
	body.Trouble = body.Trouble[:min(most, len(body.Trouble))]
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
		q := queryOf("outcome", outcome, "limit", "100", "since", sinceOf(v, "24h"))
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
	const most = 8
	body.Groups = body.Groups[:min(most, len(body.Groups))]
	return nil
}

// kindOf is what failures have in common.
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

	Complete api.Completeness
	Copies   []copied
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
	v.show(http.StatusOK, "relay", "Relay", "relay", body)
	return nil
}
