package api

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
)

// keyPair reads a certificate and its key again when their files change, so that a renewed one
// needs no restart. While the files do not fit together the old pair stays, and the log says so.
type keyPair struct {
	files config.TLS
	log   zerolog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	stamps [2]time.Time // of the files
	looked time.Time
	wrong  string    // with the files; empty: nothing
	told   time.Time // of that
}

// lookEvery is how often the files are looked at.
const lookEvery = 10 * time.Second

// tellEvery is how often the log says the same of the files.
const tellEvery = time.Hour

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.loaded != nil && now.Sub(p.looked) < lookEvery {
		return p.loaded, nil
	}
	p.looked = now
	stamps := [2]time.Time{changed(p.files.Cert), changed(p.files.Key)}
	if p.loaded != nil && p.wrong == "" && stamps == p.stamps {
		return p.loaded, nil
	}
	pair, err := p.files.Pair(os.ReadFile)
	switch {
	case err == nil:
		p.loaded, p.stamps, p.wrong = &pair, stamps, ""
	case p.loaded == nil:
		return nil, fmt.Errorf("load the TLS certificate and key: %w", err)
	default:
		p.tell(err, now)
	}
	return p.loaded, nil
}

// tell logs what is wrong with the files, when it is first seen and now and then again: nobody else
// would know before the next start, which cannot do without them.
func (p *keyPair) tell(err error, now time.Time) {
	if p.wrong == err.Error() && now.Sub(p.told) < tellEvery {
		return
	}
	p.wrong, p.told = err.Error(), now
	p.log.Error().Err(err).Msg("the API goes on with its old TLS certificate")
}

// changed returns when a file was written; zero: it is not there.
func changed(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
