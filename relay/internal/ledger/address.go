package ledger

import (
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// address is where the database is. It may change while connections stand: the next ones go to the
// new one.
type address struct{ url atomic.Pointer[config.Secret] }

func newAddress(url config.Secret) *address {
	a := &address{}
	a.url.Store(&url)
	return a
}

// change takes another URL, if it is one.
func (a *address) change(url config.Secret) error {
	if _, err := pglink.ParseConfig(url.Reveal()); err != nil {
		return err
	}
	a.url.Store(&url)
	return nil
}

// configure returns the configuration of a connection to be. Files that the URL names, of passwords
// for example, are read anew.
func (a *address) configure(s pglink.Session) (*pgx.ConnConfig, error) {
	return pglink.Configure(a.url.Load().Reveal(), s)
}
