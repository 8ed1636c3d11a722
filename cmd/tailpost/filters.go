package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// timeFlag is a flag with a time, as the API takes it: RFC 3339, or how long ago it was.
type timeFlag struct{ to *string }

// String implements pflag.Value.
func (f timeFlag) String() string {
	if f.to == nil {
		return ""
	}
	return *f.to
}

// Type implements pflag.Value.
func (f timeFlag) Type() string { return "time" }

// Set implements pflag.Value.
func (f timeFlag) Set(text string) error {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		*f.to = time.Now().Add(-ago).UTC().Format(time.RFC3339Nano)
		return nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return errors.New("want a time such as 2026-03-14T08:00:00Z, or how long ago that was, such as 90m or 24h")
	}
	*f.to = text
	return nil
}

// limitFlag is a flag with a number of entries.
type limitFlag struct{ to *int }

// String implements pflag.Value.
func (f limitFlag) String() string {
	if f.to == nil {
		return ""
	}
	return strconv.Itoa(*f.to)
}

// Type implements pflag.Value.
func (f limitFlag) Type() string { return "int" }

// Set implements pflag.Value.
func (f limitFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("want a number from 1 on")
	}
	*f.to = n
	return nil
}

// filters are flags that become parameters of a query.
type filters struct {
	values map[string]func() []string // by the name of the parameter; none: it is not set
	limit  int
}

// register makes flags, each given as its name, the parameter's name, and its help.
func (f *filters) register(cmd *cobra.Command, flags ...[3]string) {
	for _, flag := range flags {
		name, parameter, help := flag[0], flag[1], flag[2]
		value := new(string)
		if name == "since" || name == "until" {
			cmd.Flags().Var(timeFlag{value}, name, help)
		} else {
			cmd.Flags().StringVar(value, name, "", help)
		}
		f.set(parameter, func() []string { return []string{*value} })
	}
	f.limit = 50
	cmd.Flags().Var(limitFlag{&f.limit}, "limit", "print at most `N`")
}

// registerSearch makes the flag of what people look for, which may be repeated.
func (f *filters) registerSearch(cmd *cobra.Command) {
	values := cmd.Flags().StringArray("search", nil, "only of events with this `value`, as name=value (outbox.search names them); may be repeated")
	f.set("search", func() []string { return *values })
}

// registerBool makes a flag that is set or not.
func (f *filters) registerBool(cmd *cobra.Command, flag, parameter, help string) {
	value := cmd.Flags().Bool(flag, false, help)
	f.set(parameter, func() []string {
		if *value {
			return []string{"true"}
		}
		return nil
	})
}

func (f *filters) set(parameter string, values func() []string) {
	if f.values == nil {
		f.values = make(map[string]func() []string)
	}
	f.values[parameter] = values
}

func (f *filters) query() url.Values {
	query := make(url.Values)
	for name, values := range f.values {
		for _, value := range values() {
			if value != "" {
				query.Add(name, value)
			}
		}
	}
	return query
}

// noEndpoint says, of a selection that has chosen nothing, that the endpoint it names does not
// exist; nil: it does, or nobody can tell.
func noEndpoint(ctx context.Context, c *client, id string) error {
	if id == "" {
		return nil
	}
	if _, err := c.ask(ctx, http.MethodGet, "/v1/endpoints/"+url.PathEscape(id), nil, nil); !isNotFound(err) {
		return nil // a key that may not look, for one
	}
	return hint(fmt.Errorf("nothing is chosen: there is no endpoint %s", printable(id, maxPreview)), whereListed("/v1/endpoints/"))
}
