package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

func TestSealKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		sealKey:                           true,
		strings.TrimRight(sealKey, "="):   true,
		strings.Repeat("-_", 21) + "8=":   true,
		strings.Repeat("0f", 32):          true,
		strings.Repeat("0F", 32) + "\n":   true,
		strings.Repeat("0f", 31):          false,
		"c2hvcnQ=":                        false,
		"":                                false,
		"not base64 at all, but a phrase": false,
	} {
		key, ok := config.SealKey(config.NewSecret(text))
		require.Equal(t, want, ok, text)
		if ok {
			require.Len(t, key, 32)
		}
	}
}

func TestValidateEndpointCompletesAndNamesFields(t *testing.T) {
	t.Parallel()
	e := config.Endpoint{ID: "ep_1", URL: "https://a.example", Secrets: []config.Secret{config.NewSecret(hmacSecret)}}
	require.Empty(t, config.ValidateEndpoint(&e, config.Network{}, nil))
	require.Equal(t, config.DefaultSchedule(), e.Retry.Schedule)
	require.Len(t, e.Subscriptions, 1)

	e.URL, e.Timeout = "http://a.example", -1
	e.Subscriptions = []config.Subscription{{Events: []string{"a", "a..b"}}}
	var fields []string
	for _, d := range config.ValidateEndpoint(&e, config.Network{}, nil) {
		require.Equal(t, config.SeverityError, d.Severity)
		fields = append(fields, d.Field)
	}
	require.Equal(t, []string{"url", "timeout", "subscription[0].events[1]"}, fields)
}
