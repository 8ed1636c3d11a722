package relay_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// A relay inside an application: the configuration is made in Go, no file is read.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	db, cleanup := exampleDatabase(ctx)
	defer cleanup()

	secret := signature.GenerateSecret()
	verifier, err := signature.NewVerifier(secret)
	check(err)
	received := make(chan string)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		check(err)
		check(verifier.Verify(r.Header, body))
		received <- r.Header.Get("Webhook-Id")
	}))
	defer receiver.Close()

	cfg, err := config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot()},
		Outbox:   config.Outbox{Mapping: outbox.DefaultMapping()},
		Network:  config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Endpoints: []config.Endpoint{{
			ID: "erp", URL: receiver.URL, Secrets: []config.Secret{config.NewSecret(secret)},
			Subscriptions: []config.Subscription{{Events: []string{"order.*"}}},
		}},
	}.Complete()
	check(err)
	r, err := relay.New(cfg, relay.Options{Version: "1.0.0"})
	check(err)
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	awaitDelivering(r, done)

	conn, err := pgx.Connect(ctx, db.URL)
	check(err)
	defer conn.Close(ctx)
	check(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := outbox.Insert(ctx, tx, outbox.Event{ID: "01995f2e-0000-7000-8000-000000000001", Type: "order.paid", Payload: []byte(`{}`)})
		return err
	}))
	fmt.Println("verified:", <-received)

	stop()
	fmt.Println("stopped:", <-done, r.Status().State)
	// Output:
	// verified: 01995f2e-0000-7000-8000-000000000001
	// stopped: <nil> stopped
}

// A change of endpoints takes effect without a restart; another database does not, and the rest of
// such a change does.
func ExampleRelay_Reload() {
	base := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://localhost/shop")},
		Outbox:   config.Outbox{Mapping: outbox.DefaultMapping()},
		Endpoints: []config.Endpoint{{
			ID: "erp", URL: "https://erp.example.com", Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())},
		}},
	}
	cfg, err := base.Complete()
	check(err)
	r, err := relay.New(cfg, relay.Options{})
	check(err)

	other := base
	other.Database.Slot = "another"
	cfg, err = other.Complete()
	check(err)
	fmt.Println(r.Reload(context.Background(), cfg))

	more := base
	more.Endpoints = append(slices.Clone(base.Endpoints), config.Endpoint{
		ID: "crm", URL: "https://crm.example.com", Secrets: base.Endpoints[0].Secrets,
	})
	cfg, err = more.Complete()
	check(err)
	fmt.Println(r.Reload(context.Background(), cfg), r.Status().State)
	// Output:
	// reload: the database block changed: restart tailpost to use another database or slot; restart tailpost for the rest
	// <nil> starting
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func awaitDelivering(r *relay.Relay, done <-chan error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for r.Status().State != relay.Delivering {
		select {
		case err := <-done:
			panic(err)
		case <-ticker.C:
		}
	}
}

// exampleDatabase makes a migrated database.
func exampleDatabase(ctx context.Context) (*pgtest.DB, func()) {
	tb, cleanup := pgtest.ExampleTB(context.WithoutCancel(ctx), "Relay")
	db := pgschema.NewDB(tb)
	_, err := schema.Migrate(ctx, db.Conn(tb), schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	check(err)
	return db, cleanup
}
