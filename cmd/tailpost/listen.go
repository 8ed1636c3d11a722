package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

const (
	listenPort       = 4000
	listenHeaderTime = 10 * time.Second
	listenGrace      = 5 * time.Second // for requests in flight at the end
)

func newListenCommand(a *app) *cobra.Command {
	var (
		flags        verifyFlags
		port         int
		status, fail int
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive webhooks on this machine and print them",
		Long: `Receive webhooks at http://127.0.0.1:PORT, verify their signatures and print each as one line. A request that does not verify is
answered with 401. Without a secret nothing is verified, and each line says so.

The relay reaches a receiver on loopback if its configuration says

  network {
    allow      = ["127.0.0.1/32"]
    allow_http = true
  }`,
		Example: `  export TAILPOST_SECRET=whsec_…; tailpost listen
  tailpost listen --fail 2              # answer each event's first two attempts with 503
  tailpost listen --status 410          # answer everything with 410
  tailpost listen --json | jq .body.data`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return usagef(cmd.CommandPath(), "--port %d: want 0 (any) to 65535", port)
			}
			if status != 0 && (status < 200 || status > 599) {
				return usagef(cmd.CommandPath(), "--status %d: want 200 to 599", status)
			}
			if fail < 0 {
				return usagef(cmd.CommandPath(), "--fail %d: want 0 or more", fail)
			}
			verifier, err := flags.verifier(a, cmd.CommandPath())
			if err != nil {
				return err
			}
			r := newReceiver(receiverOptions{verifier: verifier, status: status, fail: fail, show: a.printReceivedLine})
			if asJSON {
				r.show = a.printReceivedJSON
			}
			doing := "verifying nothing, for lack of a secret (set $" + secretVariable + " or --secret)"
			if verifier != nil {
				doing = "verifying signatures of scheme " + flags.scheme
			}
			return listen(cmd.Context(), a, port, r, doing)
		},
	}
	flags.register(cmd)
	cmd.Flags().IntVarP(&port, "port", "p", listenPort, "`port` on 127.0.0.1; 0: any free one")
	cmd.Flags().IntVar(&status, "status", 0, "answer with this HTTP `status` (default 200; with --fail 503 for the failures)")
	cmd.Flags().IntVar(&fail, "fail", 0, "fail the first `N` attempts of each event, then answer 200")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	return cmd
}

// listen serves r until ctx is done.
func listen(ctx context.Context, a *app, port int, r http.Handler, doing string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return hint(fmt.Errorf("listen: %w", err), "another --port")
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: listenHeaderTime}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	a.note("tailpost: listening on http://%s, %s", l.Addr(), doing)

	select {
	case err := <-served:
		return fmt.Errorf("listen: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), listenGrace, errors.New("requests in flight did not end"))
	defer cancel()
	err = server.Shutdown(grace)
	if err != nil {
		err = errors.Join(context.Cause(grace), server.Close())
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("stop listening: %w", err)
	}
	return nil
}
