package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
)

func TestThePortalOfAFile(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Load("testdata/valid/portal.hcl", options())
	require.Empty(t, diags)
	p := cfg.Panel.Portal
	require.Equal(t, "image/svg+xml", p.Logo.Type)
	require.True(t, strings.HasPrefix(string(p.Logo.Data), "<svg"))
	p.Logo = config.Logo{}
	require.Equal(t, config.Portal{
		Name: "Acme", Color: "#1d4fb8", ColorDark: "#93b4ff", URL: "https://hooks.example.com", Verify: config.VerifyEcho,
		FrameOrigins: []string{"https://app.example.com", "http://localhost:3000"}, RefreshURL: "https://app.example.com/webhooks?from=tailpost",
	}, p)
}

// TestAColourThatIsTakenCanBeRead: of every colour, what the portal makes of it is one that a file
// may name itself.
func TestAColourThatIsTakenCanBeRead(t *testing.T) {
	t.Parallel()
	takes := func(p config.Portal) bool {
		c := config.Config{Database: config.Database{URL: config.NewSecret("postgres://localhost/a")}, API: config.API{Listen: "127.0.0.1:0"}, Panel: config.Panel{Portal: p}}
		_, err := c.Complete()
		return err == nil
	}
	require.True(t, takes(config.Portal{Color: "#1d4fb8", ColorDark: "#93b4ff"}))
	require.False(t, takes(config.Portal{Name: "Acme\u202e"}), "it turns what follows it around")
	require.False(t, takes(config.Portal{Color: "#ffffff"}))
	require.False(t, takes(config.Portal{ColorDark: "#000000"}))
	require.False(t, takes(config.Portal{Color: "#7a7a7a"}), "it can be read on white, and not on its own tint")
	rapid.Check(t, func(t *rapid.T) {
		color := "#" + rapid.StringMatching(`[0-9a-f]{6}`).Draw(t, "color")
		require.True(t, takes(config.Portal{ColorDark: config.Lighter(color)}), config.Lighter(color))
		require.Contains(t, []string{"#ffffff", "#0e1526"}, config.Ink(color))
	})
	require.Equal(t, "#ffffff", config.Ink("#1d4fb8"))
	require.Equal(t, "#0e1526", config.Ink("#93b4ff"))
}
