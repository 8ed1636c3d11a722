package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// told is an operational event, and the events of the attempts that it was recorded with.
type told struct {
	id, kind, about, tenant, name string
	with                          []string
}

// tells has a life in which ep_1 fails, without another try, and ops subscribes to what is told.
func tells(t *testing.T) (l *life, heard *[]told) {
	t.Helper()
	heard = new([]told)
	fails := sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 500) })
	l = newLife(t, func(_ *life, o *dispatch.Options) {
		o.Committed = func(b dispatch.Recorded) {
			looked.Lock()
			defer looked.Unlock()
			for _, content := range b.Emit {
				var e struct {
					Event struct {
						ID     string `json:"id"`
						Type   string `json:"type"`
						Tenant string `json:"tenant"`
						Data   struct {
							Endpoint struct {
								Name string `json:"name"`
							} `json:"endpoint"`
							Event struct {
								ID string `json:"id"`
							} `json:"event"`
						} `json:"data"`
					} `json:"event"`
				}
				if err := json.Unmarshal(content, &e); err != nil {
					panic(err)
				}
				one := told{id: e.Event.ID, kind: e.Event.Type, about: e.Event.Data.Event.ID, tenant: e.Event.Tenant, name: e.Event.Data.Endpoint.Name}
				for i := range b.Attempts {
					one.with = append(one.with, b.Attempts[i].EventID)
				}
				*heard = append(*heard, one)
			}
		}
		ops := dispatch.Endpoint{Sender: fails, Config: config.Endpoint{
			ID: "ops", Concurrency: 1, ParkAfter: time.Second, Timeout: time.Minute,
			Subscriptions: []config.Subscription{{Events: []string{outbox.TypeFailed}}},
		}}
		o.Endpoints = []dispatch.Endpoint{ops}
	})
	e := l.endpoint()
	e.Sender, e.Config.Retry.Schedule = fails, nil
	l.change(e)
	return l, heard
}

// Whoever is told of an attempt is told in the transaction that records it, and of each attempt
// once more, though it has the number of an earlier one.
func TestNotices_areOfTheirAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, heard := tells(t)
		l.event("e1")
		l.later(time.Second)
		require.Len(t, *heard, 1)
		require.Equal(t, outbox.TypeFailed, (*heard)[0].kind)

		// A person resends it: its schedule begins anew.
		l.tables.mu.Lock()
		pair := outbox.Pair{EventID: "e1", EndpointID: "ep_1"}
		row := l.tables.rows[pair]
		row.State, row.Attempts, row.NextAttemptAt = outbox.Pending, 0, time.Now()
		l.tables.rows[pair] = row
		l.tables.mu.Unlock()
		l.Due("ep_1")
		l.later(time.Second)
		require.Len(t, *heard, 2)
		require.NotEqual(t, (*heard)[0].id, (*heard)[1].id)
		for _, one := range *heard {
			require.Equal(t, "e1", one.about)
			require.Contains(t, one.with, "e1")
		}
		l.stop()
	})
}

// What expires has no attempt that would tell one from another: each is told of by itself all the
// same, and none takes the place of another where ids are compared.
func TestNotices_ofWhatExpiredAreOfEachEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, heard := tells(t)
		for _, id := range []string{"e1", "e2", "e3"} {
			l.timed(id, "", 0, -time.Second)
		}
		l.later(time.Second)
		require.Len(t, *heard, 3)
		ids, about := make(map[string]bool), []string(nil)
		for _, one := range *heard {
			ids[one.id], about = true, append(about, one.about)
		}
		require.Len(t, ids, 3)
		require.ElementsMatch(t, []string{"e1", "e2", "e3"}, about)
		l.stop()
	})
}

// Nobody is told of what becomes of operational events: there would be no end to it.
func TestNotices_areNotOfNotices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, heard := tells(t)
		l.commit(func(tx *source.Unsettled) {
			l.Dispatch(outbox.Event{ID: outbox.OperationalID + "1", Type: outbox.TypeFailed, Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
		})
		l.later(time.Second)
		require.Len(t, l.tables.attempts, 1)
		require.Equal(t, outbox.Dead, l.tables.attempts[0].Outcome)
		require.Empty(t, *heard)
		l.stop()
	})
}

// What becomes of an endpoint is its owner's business: the operator's, where the endpoint is
// everybody's, whoever the event was for.
func TestNotices_areForTheOwnerOfTheEndpoint(t *testing.T) {
	t.Parallel()
	for name, owner := range map[string]string{"everybody's": "", "a tenant's": "acme"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, heard := tells(t)
				e := l.endpoint()
				e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 500) })
				e.Config.Tenant, e.Config.Name, e.Config.Retry.Schedule = owner, "erp", nil
				l.change(e)
				l.commit(func(tx *source.Unsettled) {
					l.Dispatch(outbox.Event{ID: "e1", Type: "order.paid", Tenant: "acme", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
				})
				l.later(time.Second)
				require.Len(t, *heard, 1)
				require.Equal(t, owner, (*heard)[0].tenant)
				require.Equal(t, "erp", (*heard)[0].name, "which people know it by")
				l.stop()
			})
		})
	}
}

// TestNotices_ofAnEndpointThatFails: once when it has failed several times in a row, not at the
// first, and once when it has recovered; and so again.
func TestNotices_ofAnEndpointThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, heard := tells(t)
		l.change(nil)
		status := 500
		of := func(id string, send sender, events ...string) dispatch.Endpoint {
			return dispatch.Endpoint{Sender: send, Config: config.Endpoint{
				ID: id, Concurrency: 1, ParkAfter: time.Second, Timeout: time.Minute, Circuit: config.Circuit{Failures: 3, Reopen: time.Millisecond},
				Subscriptions: []config.Subscription{{Events: events}},
			}}
		}
		l.Reload([]dispatch.Endpoint{
			of("ops", func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) }, outbox.TypeRecovered, outbox.TypeFailing),
			of("erp", func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, status) }, "a"),
		})
		var want []string
		for range 2 {
			for failures := 1; failures <= 5; failures++ {
				l.event(fmt.Sprint("e", l.at))
				l.later(time.Second)
				if failures == 3 {
					want = append(want, outbox.TypeFailing)
				}
				require.Equal(t, want, kinds(*heard), "after %d failures", failures)
			}
			status = 200
			want = append(want, outbox.TypeRecovered)
			for range 3 {
				l.event(fmt.Sprint("e", l.at))
				l.later(time.Second)
				require.Equal(t, want, kinds(*heard))
			}
			status = 500
		}
		l.stop()
	})
}

// kinds are the types of what was told.
func kinds(heard []told) (list []string) {
	for i := range heard {
		list = append(list, heard[i].kind)
	}
	return list
}

// Whoever was told that an endpoint fails is told that it recovers, though the relay was restarted
// in between: what its row says stands for what was told. One that did not fail has nothing to
// recover from.
func TestNotices_ofRecoverySurviveARestart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		since time.Time
		want  []told
	}{
		"failing":  {time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), []told{{kind: outbox.TypeRecovered, about: "e1", with: []string{"e1"}}}},
		"all well": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, heard := tells(t)
				l.change(nil)
				works := sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) })
				of := func(id string, events ...string) dispatch.Endpoint {
					return dispatch.Endpoint{Sender: works, Config: config.Endpoint{
						ID: id, Concurrency: 1, ParkAfter: time.Second, Timeout: time.Minute, Subscriptions: []config.Subscription{{Events: events}},
					}}
				}
				erp := of("erp")
				erp.State = ledger.EndpointState{Status: ledger.StatusActive, FailingSince: test.since}
				l.Reload([]dispatch.Endpoint{of("ops", outbox.TypeRecovered, outbox.TypeFailing), erp})
				for _, id := range []string{"e1", "e2"} {
					l.event(id)
					l.later(time.Second)
				}
				for i := range *heard {
					(*heard)[i].id = ""
				}
				require.ElementsMatch(t, test.want, *heard)
				l.stop()
			})
		})
	}
}

// What is told says of which endpoint, event and answer, in full and in the same words each time.
func TestNotices_sayAllOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status, kinds := 500, []string{outbox.TypeFailed, outbox.TypeFailing, outbox.TypeRecovered, outbox.TypeDisabled}
		l := newLife(t, func(_ *life, o *dispatch.Options) {
			o.Endpoints = []dispatch.Endpoint{{
				Sender: sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) }),
				Config: config.Endpoint{
					ID: "ops", Tenant: "acme", Concurrency: 1, ParkAfter: time.Second, Timeout: time.Minute,
					Subscriptions: []config.Subscription{{Events: kinds}},
				},
			}}
		})
		e := l.endpoint()
		e.Config.Name, e.Config.Tenant, e.Config.Retry.Schedule = "erp", "acme", nil
		e.Config.Circuit = config.Circuit{Failures: 2, Reopen: time.Minute}
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			res := answer(r, status)
			if status != 200 {
				res.Attempt.Error = "it is unwell"
			}
			return res
		})
		l.change(e)
		brings := func(id string, of int, expires time.Time) {
			status = of
			l.commit(func(tx *source.Unsettled) {
				l.Dispatch(outbox.Event{
					ID: id, Type: "order.paid", Tenant: "acme", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), ExpiresAt: expires,
				}, tx)
			})
			l.later(2 * time.Minute)
		}
		brings("e1", 500, time.Time{})
		brings("e2", 502, time.Time{})
		brings("e3", 200, time.Time{})
		brings("e4", 200, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))
		brings("e5", 410, time.Time{})
		var heard []string
		for _, content := range l.tables.emitted {
			var one struct {
				Event struct {
					Type   string          `json:"type"`
					Tenant string          `json:"tenant"`
					Data   json.RawMessage `json:"data"`
				} `json:"event"`
			}
			require.NoError(t, json.Unmarshal(content, &one))
			heard = append(heard, one.Event.Type+" "+one.Event.Tenant+" "+string(one.Event.Data))
		}
		says := func(kind, event, rest string) string {
			return kind + ` acme {"endpoint":{"id":"ep_1","name":"erp"},"event":{"id":"` + event + `","type":"order.paid"},` + rest + `,"tenant":"acme"}`
		}
		const exhausted, since = `"error":"it is unwell","reason":"exhausted"`, `"failing_since":"2000-01-01T00:00:00Z"`
		require.Equal(t, []string{
			says(outbox.TypeFailed, "e1", `"attempts":1,"status_code":500,`+exhausted),
			says(outbox.TypeFailed, "e2", `"attempts":1,"status_code":502,`+exhausted),
			says(outbox.TypeFailing, "e2", `"attempts":1,"status_code":502,"error":"it is unwell",`+since),
			says(outbox.TypeRecovered, "e3", `"attempts":1,"status_code":200,`+since),
			says(outbox.TypeFailed, "e4", `"error":"the event expired at 1999-12-31T00:00:00Z before it was delivered","reason":"expired"`),
			says(outbox.TypeDisabled, "e5",
				`"attempts":1,"status_code":410,"error":"it is unwell","reason":"the endpoint answered 410 Gone","failing_since":"2000-01-01T00:08:00Z"`),
		}, heard)
		l.stop()
	})
}
