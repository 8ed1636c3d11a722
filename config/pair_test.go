package config_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestOnlyWhoListensReadsTheKeyOfTheAPI: others may run where it is not theirs to read.
func TestOnlyWhoListensReadsTheKeyOfTheAPI(t *testing.T) {
	t.Parallel()
	text := []byte(`
database {
  url = "postgres://localhost/app"
}
api {
  tls {
    cert = "tls.crt"
    key  = "tls.key"
  }
}
`)
	var read []string
	o := config.Options{ReadFile: func(path string) ([]byte, error) {
		read = append(read, path)
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}}
	_, diags := config.Parse(map[string][]byte{"dir/tailpost.hcl": text}, o)
	require.False(t, diags.HasErrors(), diags)
	require.Empty(t, read)
	o.Listens = true
	_, diags = config.Parse(map[string][]byte{"dir/tailpost.hcl": text}, o)
	require.True(t, diags.HasErrors())
	require.Equal(t, "Invalid certificate", diags[0].Summary)
	require.Contains(t, diags[0].Detail, "dir/tls.crt cannot be read: permission denied")
	require.Equal(t, []string{"dir/tls.crt"}, read)
}
