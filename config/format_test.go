package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

func TestFormatSource(t *testing.T) {
	t.Parallel()
	got, err := config.FormatSource([]byte("log{\nlevel=\"info\"\n  format   = \"json\"\n}"), "x.hcl")
	require.NoError(t, err)
	require.Equal(t, "log {\n  level  = \"info\"\n  format = \"json\"\n}", string(got))
	_, err = config.FormatSource([]byte("log {"), "x.hcl")
	var diags config.Diagnostics
	require.ErrorAs(t, err, &diags)
}
