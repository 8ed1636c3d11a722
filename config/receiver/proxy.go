package receiver

import (
	"errors"
	"net/url"
)

// Proxy is the egress proxy that requests go through.
type Proxy struct {
	SOCKS bool // SOCKS 5 (RFC 1928), else HTTP
	Place Place
	User  *url.Userinfo // nil: none
}

const portSOCKS = 1080

// ParseProxy reads the URL of a proxy. Its errors do not repeat it: it may hold a password.
func ParseProxy(text string) (Proxy, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return Proxy{}, errProxy
	}
	p := Proxy{User: u.User}
	at := *u
	switch u.Scheme {
	case "http", "https":
	case "socks5":
		p.SOCKS, at.Scheme = true, "http"
	default:
		return Proxy{}, errProxy
	}
	if p.Place, err = ParsePlace(&at); err != nil {
		return Proxy{}, errProxy
	}
	if p.SOCKS && u.Port() == "" {
		p.Place.Port = portSOCKS
	}
	if p.SOCKS && p.User != nil && !fitsSOCKS(p.User) {
		return Proxy{}, errors.New("user and password of a SOCKS proxy have 1 to 255 bytes each (RFC 1929)")
	}
	return p, nil
}

var errProxy = errors.New("write http://host:port, https://host:port or socks5://host:port, with a user and password before the host where it needs them")

func fitsSOCKS(user *url.Userinfo) bool {
	const most = 255
	password, _ := user.Password()
	fits := func(text string) bool { return len(text) >= 1 && len(text) <= most }
	return fits(user.Username()) && fits(password)
}
