package main

import (
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// streaming answers a request with what is written to a pipe.
type streaming struct{ body io.ReadCloser }

func (s streaming) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: s.body}, nil
}

// A tail that says now and then that it lives goes on however long that is, and one that says
// nothing does not.
func TestATailThatLivesGoesOn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		every time.Duration
		want  string
	}{
		"says that it lives": {15 * time.Second, "unexpected EOF"},
		"is silent":          {time.Minute, "it was silent for too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from, to := io.Pipe()
				f := &follower{client: &client{base: &url.URL{Scheme: "http", Host: "127.0.0.1"}, http: &http.Client{Transport: streaming{from}}}, asJSON: true}
				go func() {
					for range 8 {
						<-time.After(test.every)
						_, _ = io.WriteString(to, ": alive\n\n")
					}
					_ = to.Close()
				}()
				began, err := f.stream(t.Context())
				require.True(t, began)
				require.NotErrorIs(t, err, errResult)
				require.ErrorContains(t, err, test.want)
			})
		})
	}
}
