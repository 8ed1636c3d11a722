package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExtraColumnsOfExpressions: a name behind event.extra is one of outbox.columns, wherever it
// stands; what messages carry nobody knows.
func TestExtraColumnsOfExpressions(t *testing.T) {
	t.Parallel()
	const columns = " columns = { extra = { region = \"r\", shop = \"s\" } }\n"
	subscription := places()["endpoint.subscription"]
	for name, test := range map[string]struct{ outbox, lines, want string }{
		"where":  {columns, " where = event.extra.regoin == \"eu\"\n", "outbox.columns.extra has \"region\" and \"shop\", no \"regoin\". Did you mean \"region\"?"},
		"body":   {columns, " body = { a = event.extra.shop, b = [event.extra[\"none\"]] }\n", "outbox.columns.extra has \"region\" and \"shop\", no \"none\"."},
		"none":   {"", " where = event.extra.region == \"eu\"\n", "outbox.columns names no extra columns: add extra = { region = \"…\" } to them."},
		"search": {columns + " search = { shop = event.extra.shpo }\n", "", "outbox.columns.extra has \"region\" and \"shop\", no \"shpo\". Did you mean \"shop\"?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := parse(t, subscription.whole(test.lines)+"outbox {\n"+test.outbox+"}\n")
			require.Len(t, diags, 1)
			require.Equal(t, "Unknown extra column", diags[0].Summary)
			require.Equal(t, test.want, diags[0].Detail)
			require.NotZero(t, diags[0].Line)
		})
	}
	for name, outbox := range map[string]string{
		"named":    columns,
		"messages": " messages = \"app\"\n",
	} {
		_, diags := parse(t, subscription.whole(" where = event.extra.region == \"eu\"\n body = event.extra\n")+"outbox {\n"+outbox+"}\n")
		require.Empty(t, diags, name)
	}
}
