package pgtest

import (
	"context"

	"github.com/tailpost/tailpost/integration/pgserver"
)

// Server is a pgserver.Server.
type Server = pgserver.Server

// Options are those of a pgserver.Server.
type Options = pgserver.Options

// StopMode is how a pgserver.Server stops.
type StopMode = pgserver.StopMode

// The modes, as those of pg_ctl.
const (
	Smart     = pgserver.Smart
	Fast      = pgserver.Fast
	Immediate = pgserver.Immediate
)

// Start is pgserver.Start.
func Start(ctx context.Context, o Options) (*Server, error) { return pgserver.Start(ctx, o) }

// FastSettings is pgserver.FastSettings.
func FastSettings() map[string]string { return pgserver.FastSettings() }
