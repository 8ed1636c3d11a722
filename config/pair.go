package config

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Pair reads the certificate with its key. The error names the file that is wrong, or both, and
// holds nothing of what is in them.
func (t TLS) Pair(readFile func(path string) ([]byte, error)) (tls.Certificate, error) {
	var pem [2][]byte
	for i, path := range []string{t.Cert, t.Key} {
		text, err := readFile(path)
		if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
			err = pathError.Err
		}
		switch {
		case err != nil:
			return tls.Certificate{}, fmt.Errorf("%s cannot be read: %w", path, err)
		case len(bytes.TrimSpace(text)) == 0:
			return tls.Certificate{}, fmt.Errorf("%s is empty", path)
		}
		pem[i] = text
	}
	pair, err := tls.X509KeyPair(pem[0], pem[1])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s are not a certificate with its key: %s", t.Cert, t.Key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return pair, nil
}

// checkPair reports a certificate and a key that cannot be used together. Either may be missing:
// that is reported elsewhere.
func checkPair(s *section, t TLS) {
	if t.Cert == "" || t.Key == "" {
		return
	}
	if _, err := t.Pair(s.d.opts.ReadFile); err != nil {
		s.wrong("cert", s.body.Attributes["cert"].Expr.Range(), "Invalid certificate",
			"Write PEM of a certificate, its intermediates behind it, and of its own key without a password, into the files: %s.", err)
	}
}
