package config

import (
	"crypto/x509"
	"fmt"
)

// authorities returns those of PEM beside others; nil stands for the system's. The error names the
// setting that the PEM is of.
func authorities(setting, pem string, others *x509.CertPool) (*x509.CertPool, error) {
	if pem == "" {
		return others, nil
	}
	var all *x509.CertPool
	if others != nil {
		all = others.Clone()
	} else {
		var err error
		if all, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("read the system's authorities: %w", err)
		}
	}
	if !all.AppendCertsFromPEM([]byte(pem)) {
		return nil, fmt.Errorf("%s is not PEM of a certificate", setting)
	}
	return all, nil
}

// checkAuthorities checks PEM of authorities, which may be none.
func checkAuthorities(c *checker, setting, pem string) {
	if pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		c.fail(setting, "Invalid authorities", "Write PEM of one certificate or more; file(\"…\") reads it.")
	}
}
