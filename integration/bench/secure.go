package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// authority signs the certificates of receivers that speak TLS. The relay and the limit trust it by
// SSL_CERT_FILE.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by address
}

func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	a := &authority{key: key, leaves: make(map[string]*tls.Certificate)}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	file := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	return a, os.Setenv("SSL_CERT_FILE", file)
}

// certificate returns that of the address which a client has reached.
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf := a.leaves[host]; leaf != nil {
		return leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(a.leaves)) + 2), Subject: pkix.Name{CommonName: host}, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	leaf := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	a.leaves[host] = leaf
	return leaf, nil
}

// newSecureSink is a receiver that speaks TLS, with HTTP/1.1, or with HTTP/2 as net/http's server
// speaks it.
func newSecureSink(ctx context.Context, a *authority, http2 bool) (*sink, error) {
	s, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.url, s.http2 = "https://"+s.listener.Addr().String(), http2
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.certificate, NextProtos: []string{"http/1.1"}}
	if !http2 {
		go s.accept(tls.NewListener(s.listener, config), nil)
		return s, nil
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	server := &http.Server{Handler: s, TLSConfig: config, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.ServeTLS(s.listener, "", "") }() // it ends when the listener is closed
	s.shut = server.Close
	return s, nil
}

// newNamedSink is a receiver with an address, and a certificate, for each of n endpoints.
func newNamedSink(ctx context.Context, a *authority, n int) (s *sink, urls []string, err error) {
	if s, err = listen(ctx, "127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	var listeners []net.Listener
	s.shut = func() error {
		var errs []error
		for _, l := range listeners {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	}
	for i := range n {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.1.%d.%d:0", i/200, i%200+1))
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("start the receiver: %w", err), s.close())
		}
		listeners = append(listeners, l)
		urls = append(urls, "https://"+l.Addr().String())
		go s.accept(tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.certificate, NextProtos: []string{"http/1.1"}}), nil)
	}
	return s, urls, nil
}

// ServeHTTP implements http.Handler, for HTTP/2.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := s.at(r.URL.Path)
	body := make([]byte, max(0, r.ContentLength))
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	in.receive(body)
	if delay := in.delay.Load(); delay > 0 {
		time.Sleep(time.Duration(delay))
	}
	_, _ = w.Write([]byte("ok")) // who hung up gets no answer
}

// hangUp closes all connections, as a receiver does that restarts.
func (s *sink) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// runSecure drains a backlog over TLS.
func runSecure(ctx context.Context, b *bench, http2 bool) error {
	s, err := newSecureSink(ctx, b.authority, http2)
	if err != nil {
		return err
	}
	return b.with(s, func() error {
		n := b.size(50_000)
		d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
		if err != nil {
			return err
		}
		limit, err := b.limit(ctx, n, 64, 1)
		if err != nil {
			return err
		}
		b.sink.reset()
		r, err := d.fillAndDrain(ctx, n)
		if err != nil {
			return err
		}
		thousands := float64(n) / 1000
		work, rate := "drain 50,000 over TLS, HTTP/1.1", row{target: "1.15 × limit", met: ofLimit(1.15)}
		cpu := row{}
		if http2 {
			work, rate = "drain 50,000 over TLS, HTTP/2", row{target: "1.0 × limit", met: ofLimit(1)}
			cpu.target, cpu.met = "1.0 × limit", func(s summary) bool { return s.ofLimit <= 1 }
		}
		rate.work, rate.unit = work, "events/s"
		cpu.work, cpu.unit = work+": CPU of the relay", "s/1000"
		b.table.add(rate, reading{limit: limit.Rate, tailpost: r.rate()})
		b.table.add(cpu, reading{limit: limit.CPU / thousands, tailpost: r.relayCPU / thousands})
		return d.close(ctx)
	})
}

// runHandshakes sends an event to each of 1,000 receivers, which then hang up, and another one.
func runHandshakes(ctx context.Context, b *bench) error {
	n := b.size(1000)
	s, urls, err := newNamedSink(ctx, b.authority, n)
	if err != nil {
		return err
	}
	return b.with(s, func() error {
		list := endpoints(n, false, "")
		for i := range list {
			list[i].url = urls[i]
		}
		d, err := b.newDatabase(ctx, list)
		if err != nil {
			return err
		}
		relay, err := d.startRelay(ctx)
		if err != nil {
			return err
		}
		var rounds [3]time.Duration
		var resumed [3]int64
		for round := range rounds {
			b.sink.reset()
			b.sink.hangUp()
			before, began := b.sink.resumed.Load(), time.Now()
			if err := d.fill(ctx, "outbox", n, 200, n); err != nil {
				return errors.Join(err, relay.stop())
			}
			if _, err := b.await(ctx, "/endpoint", n); err != nil {
				return errors.Join(err, relay.stop())
			}
			rounds[round], resumed[round] = time.Since(began), b.sink.resumed.Load()-before
		}
		mem, err := memoryOf(relay.pid())
		if err := errors.Join(err, relay.stop()); err != nil {
			return err
		}
		fmt.Fprintf(b.log, "  rounds of %v, sessions resumed %v\n", rounds, resumed)
		work := "1,000 receivers with TLS, an event to each: "
		b.table.add(row{work: work + "resumed in the second round", unit: "of sessions", target: "1", met: atLeast(1)},
			reading{tailpost: float64(resumed[1]) / float64(n)})
		b.table.add(row{work: work + "first round", unit: "s"}, reading{tailpost: rounds[0].Seconds()})
		b.table.add(row{work: work + "second round", unit: "s"}, reading{tailpost: rounds[1].Seconds()})
		b.table.add(row{work: work + "peak RSS", unit: "MiB", target: "64", met: atMost(64)}, reading{tailpost: mem.peak})
		return d.close(ctx)
	})
}
