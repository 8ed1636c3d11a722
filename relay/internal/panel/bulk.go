package panel

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// bulkPage asks whether a person means to act on deliveries, and says how many there are.
type bulkPage struct {
	Resend   bool // or discard
	Filter   deliveryFilter
	Chosen   []string // state, endpoint and event of each; none: all that the filter chooses
	Count    int64
	Once     int64  // how many one press does
	AsOf     string // when the last of them came; what comes later is left alone
	Nonce    string // of this form
	Back     string // the list that it is about
	Curl     []copied
	Describe []header
}

// errNothingChosen is a form in which no delivery is chosen.
var errNothingChosen = errors.New("nothing is chosen")

// unknown refuses a form whose field has a value that no page of ours writes: nothing is guessed.
func unknown(name string) error {
	return refuse(http.StatusUnprocessableEntity, "The form does not say what to do: its field "+name+" is missing, or has a value that is not known. Nothing was changed.")
}

// readAct reads what a form is to do: one of these words.
func readAct(of func(string) string, words ...string) (string, error) {
	act := of("act")
	if !slices.Contains(words, act) {
		return "", unknown("act")
	}
	return act, nil
}

// readChosen reads which deliveries a form, or the link to one, is about; nil: all that the filter
// chooses.
func readChosen(v *visit, values url.Values) (deliveryFilter, []string, error) {
	f := readDeliveryFilter(values.Get)
	if f.State == "" {
		f.State = "dead" // as the API has it
	}
	if f.State != "dead" && f.State != "pending" {
		return f, nil, unknown("state")
	}
	if err := checkTimes(v, f.Since, f.Until); err != nil {
		return f, nil, err // without them, it would be about more
	}
	switch values.Get("which") {
	case "all":
		return f, nil, nil
	case "some", "":
	default:
		return f, nil, unknown("which")
	}
	list := values["delivery"]
	if len(list) == 0 {
		return f, nil, errNothingChosen
	}
	for _, one := range list {
		if _, err := readDelivery(one); err != nil {
			return f, nil, err
		}
	}
	return f, list, nil
}

// deliveryName names a delivery in forms.
func deliveryName(state, endpoint, event string) string {
	return state + " " + url.PathEscape(endpoint) + " " + url.PathEscape(event)
}

// readDelivery is the selection that a delivery of a form stands for.
func readDelivery(text string) (map[string]any, error) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 { //nolint:mnd // state, endpoint, event
		return nil, unknown("delivery")
	}
	endpoint, err := url.PathUnescape(parts[1])
	event, err2 := url.PathUnescape(parts[2])
	if err != nil || err2 != nil || endpoint == "" || event == "" {
		return nil, unknown("delivery")
	}
	asked := map[string]any{"event_id": event, "endpoint_id": endpoint}
	switch parts[0] {
	case "dead", "pending":
		asked["state"] = parts[0]
	case "-": // it was made, and is taken from the outbox
	default:
		return nil, unknown("delivery")
	}
	return asked, nil
}

// linkBytes bounds the link to the page that asks: servers in front refuse long ones.
const linkBytes = 4000

// confirmDeliveries leads to the page that asks, so that a browser can go back to it.
func confirmDeliveries(v *visit) error {
	form := v.r.PostForm //nolint:forbidigo // the fields of the request, without those of its link
	if _, err := readAct(form.Get, "resend", "discard"); err != nil {
		return err
	}
	if _, _, err := readChosen(v, form); err != nil && !errors.Is(err, errNothingChosen) {
		return err
	}
	link := readLink(form)
	if len(link) > linkBytes {
		return askDeliveries(v, form)
	}
	v.redirect(v.site.root + "undelivered/confirm?" + link)
	return nil
}

// readLink is a form about deliveries as a query.
func readLink(form url.Values) string {
	f := readDeliveryFilter(form.Get)
	q := f.link()
	for _, name := range []string{"act", "which"} {
		if value := form.Get(name); value != "" {
			q.Set(name, value)
		}
	}
	if form.Get("which") != "all" {
		q["delivery"] = form["delivery"]
	}
	return q.Encode()
}

func showConfirm(v *visit) error { return askDeliveries(v, v.r.URL.Query()) }

func askDeliveries(v *visit, values url.Values) error {
	act, err := readAct(values.Get, "resend", "discard")
	if err != nil {
		return err
	}
	f, chosen, err := readChosen(v, values)
	list := "undelivered?" + f.link().Encode()
	if errors.Is(err, errNothingChosen) {
		v.see(list, "nothing-chosen")
		return nil
	}
	if err != nil {
		return err
	}
	body := &bulkPage{
		Resend: act == "resend", Filter: f, Chosen: chosen, Count: int64(len(chosen)), Back: v.site.root + list, Nonce: newToken(),
		Describe: f.describe(),
	}
	body.Once = body.Count
	if chosen == nil {
		if err := countAll(v, body); err != nil {
			return err
		}
	}
	title := "Discard"
	if body.Resend {
		title = "Resend"
	}
	v.show(http.StatusOK, "bulk", title+" deliveries", "undelivered", body)
	return nil
}

// countAll counts all that the filter of a page chooses, and shows other ways to act on it.
func countAll(v *visit, body *bulkPage) error {
	f := &body.Filter
	selection := selectionOf(v, f)
	counted, err := countDeliveries(v, selection)
	if err != nil {
		return err
	}
	body.Count, body.Once = counted.Matched, counted.Matched
	if counted.AsOf != nil {
		body.AsOf = iso(*counted.AsOf)
		selection["as_of"] = body.AsOf
	}
	path := "/v1/deliveries/discard"
	if body.Resend {
		path = "/v1/deliveries/resend"
	} else {
		body.Once = min(body.Count, api.MostDiscarded)
	}
	text, err := json.Marshal(selection)
	if err != nil {
		return err
	}
	body.Curl = []copied{{ID: "copy-curl", Name: "curl", Text: curlOf(v, "POST", path, nil, string(text)), Hint: "Set TAILPOST_API_KEY to a key of the API."}}
	if body.Resend {
		name := "resend"
		if selection["all"] == true {
			name += " --all"
		}
		body.Curl = append(body.Curl, copied{ID: "copy-command", Name: "a command", Hint: "Set TAILPOST_API_KEY to a key of the API.", Text: commandOf(v, name,
			"--state", f.State, "--reason", f.Reason, "--endpoint", f.Endpoint, "--event", f.Event, "--type", f.Type, "--tenant", f.Tenant,
			"--since", sinceOf(v, f.Since), "--until", sinceOf(v, f.Until))})
	}
	return nil
}

func actOnDeliveries(v *visit) error {
	form := v.r.PostForm //nolint:forbidigo // the fields of the request, without those of its link
	act, err := readAct(form.Get, "resend", "discard")
	if err != nil {
		return err
	}
	f, chosen, err := readChosen(v, form)
	if errors.Is(err, errNothingChosen) {
		return refuse(http.StatusUnprocessableEntity, "No delivery was chosen: nothing was changed.")
	}
	if err != nil {
		return err
	}
	path, done := "/v1/deliveries/discard", "discarded"
	if act == "resend" {
		path, done = "/v1/deliveries/resend", "resent"
	}
	if chosen == nil {
		return actOnAll(v, &f, form.Get("as_of"), path, done)
	}
	var changed int64
	for i, one := range chosen {
		asked, err := readDelivery(one)
		if err != nil {
			return err
		}
		var got api.Selected
		err = v.do(api.Request{Method: http.MethodPost, Path: path, Body: asked, Header: onceHeader(v, strconv.Itoa(i))}, &got)
		if err != nil && !notFound(err) { // gone meanwhile: delivered, or somebody was quicker
			return err
		}
		changed += got.Changed
	}
	to := "undelivered?" + f.link().Encode()
	if back := next(form.Get("back")); back != "" {
		to = back
	}
	v.see(to, done, changed, int64(len(chosen)))
	return nil
}

// actOnAll acts on all that a filter chose when they were counted. A resend goes on in the
// background and has a page.
func actOnAll(v *visit, f *deliveryFilter, asOf, path, done string) error {
	if _, err := time.Parse(time.RFC3339Nano, asOf); err != nil {
		return unknown("as_of") // without it, it would be about what came since, too
	}
	asked := selectionOf(v, f)
	asked["as_of"] = asOf
	list := "undelivered?" + f.link().Encode()
	var made struct {
		api.Selected

		ID    string `json:"id"` // of a resend in the background
		Total *int64 `json:"total"`
	}
	err := v.do(api.Request{Method: http.MethodPost, Path: path, Body: asked, Header: onceHeader(v)}, &made)
	switch {
	case err != nil && !notFound(err):
		return err
	case made.ID != "" && (made.Total == nil || *made.Total > 0):
		v.see("resends/"+url.PathEscape(made.ID), "resending")
		return nil
	case made.More:
		done += "-more"
	}
	v.see(list, done, made.Changed, made.Changed)
	return nil
}
