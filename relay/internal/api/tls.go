package api

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// keyPair reads a certificate and its key again when their files change, so that a renewed one
// needs no restart. While the files do not fit together the old pair stays.
type keyPair struct {
	cert, key string

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  time.Time // of the newer file
	looked time.Time
}

// lookEvery is how often the files are looked at.
const lookEvery = 10 * time.Second

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.loaded != nil && now.Sub(p.looked) < lookEvery {
		return p.loaded, nil
	}
	p.looked = now
	stamp := newest(p.cert, p.key)
	if p.loaded != nil && stamp.Equal(p.stamp) {
		return p.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	switch {
	case err == nil:
		p.loaded, p.stamp = &pair, stamp
	case p.loaded == nil:
		return nil, fmt.Errorf("load the TLS certificate and key: %w", err)
	}
	return p.loaded, nil
}

func newest(paths ...string) (stamp time.Time) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(stamp) {
			stamp = info.ModTime()
		}
	}
	return stamp
}
