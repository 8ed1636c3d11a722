package payload_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox/payload"
)

func parse(t *testing.T, text string) payload.Number {
	t.Helper()
	n, ok := payload.ParseNumber(text)
	require.True(t, ok, text)
	return n
}

func TestNumber_compare(t *testing.T) {
	t.Parallel()
	// From the smallest to the largest; those of a line are equal.
	lines := [][]string{
		{"-123456789012345678901234567890"},
		{"-2"},
		{"-1.55"},
		{"-1.5", "-1.50", "-15e-1"},
		{"-0.000123456789012345678901"},
		{"-0.000012345678901234567890"},
		{"0", "-0", "0.0", "0e9", "0.0000000000000000000000"},
		{"0.000012345678901234567890"},
		{"0.000123456789012345678901"},
		{"0.5"},
		{"1.45"},
		{"1.5", "1.50", "15e-1", "1.5000000000000000000000"},
		{"1.55"},
		{"9"},
		{"10", "1e1", "1E+1"},
		{"123456789012345678"},
		{"123456789012345678.5"},
		{"123456789012345679"},
		{"1234567890123456789"},
		{"123456789012345678901234567889"},
		{"123456789012345678901234567890", "12345678901234567890123456789e1"},
		{"1e300"},
	}
	for i, low := range lines {
		for j, high := range lines {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			for _, a := range low {
				for _, b := range high {
					require.Equal(t, want, parse(t, a).Compare(parse(t, b)), "%s %s", a, b)
				}
			}
		}
	}
}

// Sums, differences and products of up to 18 digits lose none.
func TestNumber_apply(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a        string
		operator byte
		b, want  string // no want: there is no such number
	}{
		{"123456789012345678", '+', "1", "123456789012345679"},
		{"123456789012345678", '-', "1", "123456789012345677"},
		{"123456789", '*', "987654321", "121932631112635269"},
		{"123456789012345678", '%', "10", "8"},
		{"-7", '%', "2", "-1"},
		{"0.1", '+', "0.2", "0.3"},
		{"1.50", '-', "1.5", "0"},
		{"1.10", '*', "100", "110"},
		{"7", '/', "2", "3.5"},
		{"5.5", '%', "2", "1.5"},
		{"0", '+', "123456789012345678e5", "123456789012345678e5"},
		{"123456789012345678e5", '-', "0", "123456789012345678e5"},
		{"0", '+', "123456789012345678e-40", "123456789012345678e-40"},
		{"123456789012345678e-40", '+', "0", "123456789012345678e-40"},
		// What is longer is of doubles.
		{"999999999999999999", '+', "1", "1000000000000000000"},
		{"4294967296", '*', "4294967296", "18446744073709552000"},
		{"12345678901234567890", '+', "1", "12345678901234567000"},
		{"1", '/', "0", ""},
		{"1", '%', "0", ""},
		{"1.55e300", '*', "1.2345678901234567e300", ""},
		{"1234567890123456789e999", '+', "1", ""},
		{"1", '+', "1234567890123456789e999", ""},
		{"1e999", '+', "1.5", ""},
		{"1.5", '+', "1e999", ""},
	} {
		got, ok := parse(t, tc.a).Apply(tc.operator, parse(t, tc.b))
		require.Equal(t, tc.want != "", ok, "%s %c %s", tc.a, tc.operator, tc.b)
		if ok {
			require.Equal(t, tc.want, got.String(), "%s %c %s", tc.a, tc.operator, tc.b)
		}
	}
}

func TestNumber_asItIsWritten(t *testing.T) {
	t.Parallel()
	for text, negated := range map[string]string{
		"1.50": "-1.50", "-0": "0", "1E+5": "-1E+5", "-123456789012345678901.0": "123456789012345678901.0",
	} {
		require.Equal(t, text, parse(t, text).String())
		require.Equal(t, negated, parse(t, text).Negated().String())
	}
	require.Equal(t, "0", payload.Number{}.String())
	require.Equal(t, "-12", payload.NumberOf(-12).String())
	// What arithmetic made has no text of its own.
	for text, want := range map[string]string{
		"12e3": "12000", "12e20": "12e20", "125e-2": "1.25", "125e-3": "0.125", "125e-6": "0.000125", "-125e-2": "-1.25", "125e-40": "125e-40",
	} {
		got, ok := parse(t, text).Apply('+', payload.Number{})
		require.True(t, ok)
		require.Equal(t, want, got.String())
		require.Zero(t, got.Compare(parse(t, text)))
		require.Equal(t, "0", mustApply(t, got, got.Negated()))
	}
}

func mustApply(t *testing.T, a, b payload.Number) string {
	t.Helper()
	sum, ok := a.Apply('+', b)
	require.True(t, ok)
	return sum.String()
}
