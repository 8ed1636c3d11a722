package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

func TestABatchOfAnEndpointGoesOnFromTheDefaults(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `
database {
  url = env("DATABASE_URL")
}
defaults {
  batch {
    events  = 7
    wait    = "500ms"
    bytes   = "200KB"
    partial = true
  }
}
endpoint "wait" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  batch {
    wait = "300ms"
  }
}
endpoint "whole" {
  url    = "https://b.example.com"
  secret = env("ERP_SECRET")
  batch {
    partial = false
  }
}
`)
	require.Empty(t, diags)
	require.Equal(t, config.Batch{Events: 7, Wait: 300 * time.Millisecond, Bytes: 200_000, Partial: true}, cfg.Endpoints[0].Batch)
	require.Equal(t, config.Batch{Events: 7, Wait: 500 * time.Millisecond, Bytes: 200_000}, cfg.Endpoints[1].Batch)
}
