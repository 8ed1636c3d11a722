package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// The environment variables of commands that ask the API. A key is not a flag, because everybody on
// the machine can read arguments.
const (
	apiVariable = "TAILPOST_API"
	keyVariable = "TAILPOST_API_KEY"
)

const (
	apiTimeout = 60 * time.Second
	maxAnswer  = 64 << 20
	apiPage    = 250 // entries that the API returns at once
)

// client asks the API of a relay, or a console of the database, which answers alike.
type client struct {
	base *url.URL
	key  string
	http *http.Client //nolint:forbidigo // for the relay's own API
}

// apiFlags are the flags of commands that ask the API.
type apiFlags struct {
	address string
	asJSON  bool
	whole   bool // the command needs the secrets of endpoints, where it asks the database
}

// asks is what the help of these commands says about where they ask.
const asks = "Asks the configured database itself, or the relay that --api names."

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "api", "", "ask the API of a relay at this `URL`, with the key in $"+keyVariable+" (default $"+apiVariable+"; without either: the configured database)")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print the API's JSON, one object a line")
}

// run makes the RunE of a command that asks the API.
func (f *apiFlags) run(a *app, do func(cmd *cobra.Command, c *client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := f.client(cmd.Context(), a, cmd.CommandPath())
		if err != nil {
			return err
		}
		return do(cmd, c, args)
	}
}

// client makes a client of the API that the flags or the environment name, or else of the
// configured database.
func (f *apiFlags) client(ctx context.Context, a *app, command string) (*client, error) {
	address := cmp.Or(f.address, a.getenv(apiVariable))
	if address == "" {
		return f.console(ctx, a)
	}
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, usagef(command, "--api: want a URL such as https://tailpost.example.com")
	}
	// White space around it is no part of a key, there as in the configuration.
	c := &client{base: base, key: strings.TrimSpace(a.getenv(keyVariable))}
	if c.key != "" && base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return nil, usagef(command, "--api: the key would travel in the clear: use https")
	}
	c.http = &http.Client{ //nolint:forbidigo // It asks the relay's own API, not a receiver.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the key goes nowhere else
	}
	return c, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// request makes a request. A body of nil sends none.
func (c *client) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("ask the API: %w", err)
	}
	if body == nil {
		text = nil
	}
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(text)) //nolint:forbidigo // See client.
	if err != nil {
		return nil, errors.New("ask the API: the path is not valid")
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

// do sends a request whose answer its caller reads and closes.
func (c *client) do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return res, nil
}

// ask sends a request and returns the answer. A body of nil sends none.
func (c *client) ask(ctx context.Context, method, path string, query url.Values, body any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, apiTimeout, fmt.Errorf("no answer within %s", apiTimeout))
	defer cancel()
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	res, err := c.do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the API's answer: %w", reason(err))
	}
	if res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusMultipleChoices {
		return nil, c.refusal(path, res.StatusCode, answer)
	}
	if !json.Valid(answer) {
		return nil, hint(fmt.Errorf("the answer of %s is not JSON", c.base.Host), "--api with the URL of a relay's API")
	}
	return answer, nil
}

// listPage is a page of a list as the API has it.
type listPage struct {
	Data       []json.RawMessage `json:"data"`
	NextCursor string            `json:"next_cursor"`
}

func (c *client) page(ctx context.Context, path string, query url.Values) (page listPage, err error) {
	answer, err := c.ask(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return page, err
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return page, fmt.Errorf("read the API's answer: %w", err)
	}
	return page, nil
}

// printPages prints what a path lists, at most limit entries: as the API has them, or as a table.
func printPages(ctx context.Context, a *app, c *client, path string, query url.Values, limit int, t table, asJSON bool) error {
	rows := t.begin(a)
	none := true
	for limit > 0 {
		query.Set("limit", fmt.Sprint(min(limit, apiPage)))
		page, err := c.page(ctx, path, query)
		if err != nil {
			return err
		}
		none = none && len(page.Data) == 0
		for _, entry := range page.Data[:min(limit, len(page.Data))] {
			if asJSON {
				err = printRaw(a, entry)
			} else {
				err = rows.add(entry)
			}
			if err != nil {
				return err
			}
		}
		limit -= len(page.Data)
		if page.NextCursor == "" {
			break
		}
		query.Set("cursor", page.NextCursor)
	}
	if none {
		if err := noEndpoint(ctx, c, query.Get("endpoint_id")); err != nil {
			return err
		}
	}
	if asJSON {
		return nil
	}
	return rows.end()
}

// printRaw prints JSON of the API on a line of its own.
func printRaw(a *app, raw json.RawMessage) error {
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return fmt.Errorf("read the API's answer: %w", err)
	}
	return a.printf("%s\n", line.String())
}

// table is how entries are shown to people.
type table struct {
	columns []string
	cells   func(entry json.RawMessage) ([]string, error)
}

// row makes the cells of a table out of entries of a type.
func row[T any](cells func(T) []string) func(json.RawMessage) ([]string, error) {
	return func(entry json.RawMessage) ([]string, error) {
		var v T
		if err := json.Unmarshal(entry, &v); err != nil {
			return nil, fmt.Errorf("read the API's answer: %w", err)
		}
		return cells(v), nil
	}
}

// tableRows is a table that is being written.
type tableRows struct {
	table

	app  *app
	text *bytes.Buffer
	out  *tabwriter.Writer
}

func (t table) begin(a *app) *tableRows {
	r := &tableRows{table: t, app: a, text: new(bytes.Buffer)}
	const padding = 2
	r.out = tabwriter.NewWriter(r.text, 0, 0, padding, ' ', 0)
	fmt.Fprintln(r.out, strings.ToUpper(strings.Join(t.columns, "\t")))
	return r
}

func (r *tableRows) add(entry json.RawMessage) error {
	cells, err := r.cells(entry)
	if err != nil {
		return err
	}
	for i := range cells {
		cells[i] = cellText(cells[i])
	}
	fmt.Fprintln(r.out, strings.Join(cells, "\t"))
	return nil
}

// cellText is what a cell shows: data of tenants, which must not steer the terminal.
func cellText(cell string) string { return cmp.Or(printable(cell, maxPreview), "-") }

// end prints the table, without blanks at the ends of its lines.
func (r *tableRows) end() error {
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for line := range strings.Lines(r.text.String()) {
		if err := r.app.printf("%s\n", strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// at shows a time, or nothing.
func at(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
