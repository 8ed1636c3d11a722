package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay"
)

func newRunCommand(a *app) *cobra.Command {
	var watch bool
	var grace time.Duration
	var pprofAddress string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Deliver events until stopped",
		Long: `Take the replication slot and deliver every event of the outbox, or stand by while another relay holds the slot. SIGTERM lets
requests in flight end and parks the rest; SIGHUP and a changed configuration file reload it, and a bad one changes nothing.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			queueStderr(a)
			// From here on, so that a hangup while the configuration is read ends nothing.
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			cfg, err := a.loadRelay()
			if err != nil {
				return err
			}
			if a.getenv("GOGC") == "" {
				// Reading a configuration of many endpoints leaves garbage of several times their
				// size. It is collected at Go's own pace, and given back to the system here.
				debug.SetGCPercent(gcPercent)
				debug.FreeOSMemory()
			}
			log, err := newLogger(a.stderr, cfg.Log)
			if err != nil {
				return err
			}
			a.logs.onResumed(func(n uint64) {
				log.Warn().Uint64("lines", n).Msg("log lines were dropped: nobody read stderr, or it could not be written")
			})
			profiles, err := listenPprof(cmd.Context(), pprofAddress)
			if err != nil {
				return err
			}
			spans, readings, err := otlpExporters(cmd.Context(), a.getenv, log)
			if err != nil {
				return err
			}
			r, err := relay.New(cfg, relay.Options{
				Logger: log, LogDropped: a.logs.Dropped, Version: productVersion(), Grace: grace,
				Listeners: addressOf(profiles), Roots: roots(a.getenv), Spans: spans, Readings: readings,
			})
			if err != nil {
				return err
			}
			// Parsing takes up to 60 times the configuration's size in memory for a moment: with
			// 10,000 endpoints half of what the relay would hold from then on.
			debug.FreeOSMemory()
			announce(log, cfg)
			return serve(cmd.Context(), a, r, log, serveOptions{watch: watch, hangups: hangups, pprof: profiles})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", true, "reload when the configuration file changes")
	cmd.Flags().DurationVar(&grace, "grace", 10*time.Second, "how long requests in flight may take after SIGTERM")
	cmd.Flags().StringVar(&pprofAddress, "pprof", "", "serve runtime profiles of Go on this `address`, for example 127.0.0.1:6060")
	return cmd
}

// gcPercent, once the configuration is read, is less than half of Go's default: an event leaves
// little garbage beside what many endpoints hold for good. With 10,000 endpoints that all have a
// connection the relay takes 107 to 113 MiB instead of 125 to 132; a drain shows no difference in
// CPU.
const gcPercent = 40

// queueStderr puts a queue before stderr, so that a log shipper that is stuck or gone stops
// nothing: not deliveries, nor recording, nor the end of the process.
func queueStderr(a *app) {
	// Otherwise the first line after the reader has gone ends the process.
	signal.Ignore(syscall.SIGPIPE)
	a.logs = newLogQueue(a.stderr, logQueueBytes)
	a.stderr = a.logs
}

// serveOptions are what runs beside the relay.
type serveOptions struct {
	watch   bool             // reload when the configuration file changes
	hangups <-chan os.Signal // each asks for a reload
	pprof   net.Listener     // for runtime profiles; nil: none
}

// serve runs the relay and reloads it until ctx is done.
func serve(ctx context.Context, a *app, r *relay.Relay, log zerolog.Logger, o serveOptions) error {
	group, ctx := errgroup.WithContext(ctx)
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	group.Go(func() error {
		if err := r.Run(ctx); err != nil {
			return err
		}
		return errStopped
	})
	group.Go(func() error { return forwardHangups(ctx, o.hangups, notify) })
	manager := serviceManager{socket: a.getenv(notifySocket), log: log}
	group.Go(func() error {
		<-ctx.Done()
		manager.tell("STOPPING=1")
		return nil
	})
	manager.tell("READY=1")
	named := make(chan []string, 1)
	named <- a.read
	group.Go(func() error {
		reloadOn(ctx, a, changed, named, r, manager)
		return nil
	})
	if o.pprof != nil {
		group.Go(func() error { return servePprof(ctx, o.pprof, log) })
	}
	if o.watch {
		group.Go(func() error {
			if err := config.Watch(ctx, a.configPath, named, notify); err != nil && ctx.Err() == nil {
				// Reloading by SIGHUP still works, so deliveries go on.
				log.Warn().Err(err).Msg("configuration not watched, reload it with SIGHUP")
			}
			return nil
		})
	}
	if err := group.Wait(); !errors.Is(err, errStopped) {
		return err
	}
	log.Info().Msg("stopped")
	return nil
}

// errStopped ends the group of a relay that stopped as asked.
var errStopped = errors.New("stopped")

// forwardHangups calls notify at every SIGHUP.
func forwardHangups(ctx context.Context, hangups <-chan os.Signal, notify func()) error {
	for {
		select {
		case <-hangups:
			notify()
		case <-ctx.Done():
			return nil
		}
	}
}

// reloadOn reloads the configuration whenever changed says so. A bad one is reported and changes
// nothing. What it was read from goes to named.
func reloadOn(ctx context.Context, a *app, changed <-chan struct{}, named chan []string, r *relay.Relay, manager serviceManager) {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		manager.reloading()
		manager.reloaded(reload(ctx, a, named, r, manager.log))
	}
}

// reload reads the configuration and has the relay go on with it. It returns what is wrong, in a
// sentence; empty: nothing.
func reload(ctx context.Context, a *app, named chan []string, r *relay.Relay, log zerolog.Logger) (wrong string) {
	cfg, diagnostics := a.readConfig(config.Options{Listens: true})
	select { // only the last counts; nobody may be there to take it
	case <-named:
	default:
	}
	named <- a.read
	if diagnostics.HasErrors() {
		a.printDiagnostics(diagnostics)
		r.ReloadRefused()
		wrong = "configuration not reloaded: it is invalid, the old one stays"
		log.Error().Str("config", a.configPath).Msg(wrong)
		return wrong
	}
	a.printDiagnostics(diagnostics)
	err := r.Reload(ctx, cfg)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, relay.ErrRestart):
		wrong = "configuration reloaded, but for what only a restart can change"
	default:
		wrong = "configuration not reloaded, the old one stays"
	}
	log.Error().Err(err).Str("config", a.configPath).Msg(wrong)
	return wrong
}

// newLogger makes the logger that the configuration asks for.
func newLogger(w io.Writer, cfg config.Log) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("set the log level: %w", err)
	}
	if cfg.Format == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: true}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// announce logs what this process is about to do.
func announce(log zerolog.Logger, cfg *config.Config) {
	line := log.Info().Str("version", productVersion()).Str("slot", cfg.Database.Slot).Int("endpoints", len(cfg.Endpoints))
	if c, err := pgx.ParseConfig(cfg.Database.URL.Reveal()); err == nil {
		line = line.Str("database", fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database))
	}
	if cfg.Outbox.Mapping.Table != "" {
		line = line.Str("table", cfg.Outbox.Mapping.Table)
	}
	if cfg.Outbox.Messages != "" {
		line = line.Str("messages", cfg.Outbox.Messages)
	}
	if cfg.API.Enabled() {
		line = line.Str("api", cfg.API.Listen)
	}
	if cfg.Metrics.Enabled() {
		line = line.Str("metrics", cfg.Metrics.Listen)
	}
	line.Msg("tailpost starts")
}
