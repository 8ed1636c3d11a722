package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// plugin decodes the log for us.
const plugin = "pgoutput"

// pluginSetting lists the output plugins that the server loads, of all roles, from the minor
// releases of August 2026 on.
const pluginSetting = "output_plugin_libraries"

// checkPlugin returns an error with the remedy where the server's setting keeps our plugin from
// decoding. Hidden: this role may not read the setting.
func checkPlugin(ctx context.Context, s *session) (hidden bool, err error) {
	rows, err := s.query(ctx, "SELECT current_setting("+quoteLiteral(pluginSetting)+", true) AS libraries")
	switch {
	case pglink.State(err) == pglink.InsufficientPrivilege:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("read %s: %w", pluginSetting, err)
	}
	libraries, has := rows[0]["libraries"]
	if names := libraryNames(libraries); has && !slices.Contains(names, plugin) {
		return false, refusedPlugin(fmt.Sprintf("%s is %q", pluginSetting, libraries), names)
	}
	return false, nil
}

// refusedPlugin says why the server does not decode for us, and what mends it. What else the
// setting has is kept, for others use it; nil: that is not known.
func refusedPlugin(why string, others []string) error {
	allowed := []string{quoteLiteral(plugin)}
	for _, name := range others {
		if !strings.ContainsAny(name, `,"`) { // that is several names which somebody quoted as one
			allowed = append(allowed, quoteLiteral(name))
		}
	}
	if others == nil {
		allowed = append(allowed, "…")
	}
	return fmt.Errorf("%w: %s, so that Postgres does not decode with %s: run ALTER SYSTEM SET %s = %s; as a superuser, each name in quotes of its own, "+
		"then SELECT pg_reload_conf();", ErrSetup, why, plugin, pluginSetting, strings.Join(allowed, ", "))
}

// pluginError says what mends err where that is the server's refusal of our plugin. Otherwise it
// returns nil.
func pluginError(ctx context.Context, s *session, err error) error {
	if !refusesPlugin(err) {
		return nil
	}
	if _, told := checkPlugin(ctx, s); errors.Is(told, ErrSetup) {
		return fmt.Errorf("%w: %w", told, err)
	}
	return fmt.Errorf("%w: %w", refusedPlugin(pluginSetting+" does not name it", nil), err)
}

// refusesPlugin tells the server's refusal of our plugin from that of the role, which has the same
// code. The setting's name is the same in every language.
func refusesPlugin(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == pglink.InsufficientPrivilege && strings.Contains(pgErr.Detail+pgErr.Hint, pluginSetting)
}

// libraryNames splits a list of names as Postgres does: by commas, without the blanks around them,
// and with quotes around a name that has either.
func libraryNames(list string) []string {
	names := []string{}
	var name strings.Builder
	quoted := false
	end := func() {
		if text := strings.TrimSpace(name.String()); text != "" {
			names = append(names, text)
		}
		name.Reset()
	}
	for at := 0; at < len(list); at++ {
		switch c := list[at]; {
		case c == '"' && quoted && strings.HasPrefix(list[at+1:], `"`):
			name.WriteByte(c)
			at++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			end()
		default:
			name.WriteByte(c)
		}
	}
	end()
	return names
}
