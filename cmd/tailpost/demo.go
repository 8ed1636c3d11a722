package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// demoTime bounds the demo, so that a machine on which something hangs says so.
const demoTime = 60 * time.Second

func newDemoCommand(a *app) *cobra.Command {
	var keep, plain bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch rows travel from a throw-away Postgres to two receivers",
		Long: `Start a throw-away Postgres, migrate it, start a relay and two receivers, one of which fails twice, insert orders in real
transactions, one of which is rolled back, and show each event as it travels. Nothing is left behind.

Needs Postgres server binaries (initdb and postgres) in $PGBIN, PATH or /usr/lib/postgresql; ` + "`make demo`" + ` installs them.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			view := newDemoView(a.stdout, plain || !isTerminal(a.stdout))
			return (&demo{app: a, view: view, keep: keep}).run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep running until interrupted, to insert rows by hand")
	cmd.Flags().BoolVar(&plain, "plain", false, "print plain lines even on a terminal")
	return cmd
}

// demo is one run of the demo.
type demo struct {
	app    *app
	view   *demoView
	keep   bool
	api    string // address of the API and the panel; empty: there is none
	server demoServer
	conn   *pgx.Conn
}

// demoServer is the throw-away server.
type demoServer interface {
	URL(database string) string
	Close() error
}

// demoDatabase is the database of the throw-away server.
const demoDatabase = "postgres"

func (d *demo) run(ctx context.Context) (err error) {
	d.view.say("starting a throw-away Postgres")
	if d.server, err = startDemoServer(ctx); err != nil {
		return hint(fmt.Errorf("start a throw-away Postgres: %w", err), demoRemedy)
	}
	defer func() {
		d.view.say("removing the throw-away Postgres")
		if e := d.server.Close(); err == nil {
			err = e
		}
	}()
	if err := d.migrate(ctx); err != nil {
		return err
	}
	defer func() {
		// The server goes too.
		_ = d.conn.Close(context.WithoutCancel(ctx))
	}()
	receivers, err := newDemoReceivers(d.view)
	if err != nil {
		return err
	}
	defer receivers.close()
	return d.deliver(ctx, receivers)
}

// migrate makes the tables: the demo's own and Tailpost's.
func (d *demo) migrate(ctx context.Context) (err error) {
	if d.conn, err = pgx.Connect(ctx, d.server.URL(demoDatabase)); err != nil {
		return fmt.Errorf("connect to the throw-away Postgres: %w", err)
	}
	if _, err = schema.Migrate(ctx, d.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()}); err != nil {
		return err
	}
	_, err = d.conn.Exec(ctx, "CREATE TABLE shop_order (number int PRIMARY KEY, customer text NOT NULL, total numeric NOT NULL)")
	if err != nil {
		return fmt.Errorf("create the shop's table: %w", err)
	}
	return nil
}

// deliver runs the relay while orders are made.
func (d *demo) deliver(ctx context.Context, receivers *demoReceivers) error {
	cfg, err := d.config(ctx, receivers)
	if err != nil {
		return err
	}
	r, err := relay.New(cfg, relay.Options{Logger: zerolog.Nop(), Version: productVersion()})
	if err != nil {
		return err
	}
	relaying, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		defer stop()
		return r.Run(relaying)
	})
	err = d.show(relaying, r)
	stop()
	if e := group.Wait(); e != nil {
		return e
	}
	if ctx.Err() != nil {
		return nil // interrupted, which is how --keep ends
	}
	return err
}

// config is what a configuration file would say.
func (d *demo) config(ctx context.Context, receivers *demoReceivers) (*config.Config, error) {
	endpoint := func(name string, schedule ...time.Duration) config.Endpoint {
		return config.Endpoint{
			ID: name, URL: receivers.url(name), Secrets: []config.Secret{config.NewSecret(receivers.secret)},
			Retry: config.Retry{Schedule: schedule},
		}
	}
	warehouse := endpoint("warehouse")
	crm := endpoint("crm", 500*time.Millisecond, time.Second)
	crm.Subscriptions = []config.Subscription{{Events: []string{"order.created"}}}
	if d.keep {
		var err error
		if d.api, err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	cfg, err := config.Config{
		API:       config.API{Listen: d.api},
		Database:  config.Database{URL: config.NewSecret(d.server.URL(demoDatabase)), Slot: "demo"},
		Outbox:    config.Outbox{Mapping: outbox.DefaultMapping()},
		Endpoints: []config.Endpoint{warehouse, crm},
		Network:   config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}.Complete()
	if err != nil {
		return nil, fmt.Errorf("configure the demo: %w", err)
	}
	return cfg, nil
}

// freeAddress returns a loopback address that nobody listens on now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// show makes orders, follows their events and sums up.
func (d *demo) show(ctx context.Context, r *relay.Relay) error {
	limited, cancel := context.WithTimeoutCause(ctx, demoTime, fmt.Errorf("the demo took longer than %s", demoTime))
	defer cancel()
	d.view.say("starting the relay")
	if err := until(limited, func() (bool, error) { return r.Status().State == relay.Delivering, nil }); err != nil {
		return fmt.Errorf("start the relay: %w", err)
	}
	log, err := newDemoLog(limited, d.server.URL(demoDatabase), d.view)
	if err != nil {
		return err
	}
	defer log.close(limited)
	if err := d.order(limited); err != nil {
		return err
	}
	if err := until(limited, func() (bool, error) { return log.follow(limited) }); err != nil {
		return fmt.Errorf("wait for the deliveries: %w", err)
	}
	if err := log.summary(limited, d.app); err != nil {
		return err
	}
	if !d.keep {
		return nil
	}
	d.view.release()
	return d.wait(ctx, log)
}

// order makes the shop's transactions: each changes an order and inserts its event, together or not
// at all.
func (d *demo) order(ctx context.Context) error {
	d.view.say("inserting orders, one transaction each; order 1003 is rolled back")
	for _, o := range demoOrders() {
		if err := d.transact(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

type demoOrder struct {
	Number   int    `json:"number"`
	Customer string `json:"customer"`
	Total    string `json:"total"`

	event    string
	rollback bool
}

func demoOrders() []demoOrder {
	return []demoOrder{
		{Number: 1001, Customer: "ada", Total: "42.00", event: "order.created"},
		{Number: 1002, Customer: "grace", Total: "17.50", event: "order.created"},
		{Number: 1003, Customer: "mallory", Total: "999.00", event: "order.created", rollback: true},
		{Number: 1001, Customer: "ada", Total: "42.00", event: "order.paid"},
		{Number: 1004, Customer: "edsger", Total: "3.20", event: "order.created"},
	}
}

func (d *demo) transact(ctx context.Context, o demoOrder) error {
	tx, err := d.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	_, err = tx.Exec(ctx, `
INSERT INTO shop_order (number, customer, total)
VALUES ($1, $2, $3)
ON CONFLICT (number) DO UPDATE SET total = EXCLUDED.total`, o.Number, o.Customer, o.Total)
	if err != nil {
		return fmt.Errorf("write order %d: %w", o.Number, err)
	}
	ev, err := outbox.NewEvent(o.event, o)
	if err != nil {
		return err
	}
	ev.Key = fmt.Sprint(o.Number)
	ids, err := outbox.Insert(ctx, tx, ev)
	if err != nil {
		return err
	}
	row := demoRow{id: ids[0], event: o.event, order: o.Number, rolledBack: o.rollback}
	if o.event == "order.created" {
		row.endpoints = []string{"warehouse", "crm"}
	} else {
		row.endpoints = []string{"warehouse"}
	}
	if o.rollback {
		if err := tx.Rollback(ctx); err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		d.view.add(row)
		return nil
	}
	// Before the commit: the event may arrive before this goroutine runs again.
	d.view.add(row)
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// wait keeps the demo running for whoever wants to try by hand.
func (d *demo) wait(ctx context.Context, log *demoLog) error {
	d.view.say("running until you press Ctrl-C. Insert rows by hand, and see them arrive here:")
	d.view.paragraph(fmt.Sprintf(`psql '%s' -c "INSERT INTO outbox (type, payload) VALUES ('order.created', '{\"number\": 7}')"`,
		d.server.URL(demoDatabase)))
	d.view.paragraph("The panel shows them: http://" + d.api + "/panel/")
	return until(ctx, func() (bool, error) {
		_, err := log.follow(ctx)
		return false, err
	})
}

// until asks done again and again, a few times a second, until it says so or ctx is over.
func until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// demoSecret is made anew for every demo.
func demoSecret() string { return signature.GenerateSecret() }
