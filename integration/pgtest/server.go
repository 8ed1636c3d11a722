package pgtest

import (
	"context"

	"github.com/tailpost/tailpost/integration/pgserver"
)

// Server, Options and StopMode are those of package pgserver.
type (
	Server   = pgserver.Server
	Options  = pgserver.Options
	StopMode = pgserver.StopMode
)

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
