package receiver

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Place is where a request goes, from its URL: everything but the path.
type Place struct {
	Secure bool
	Host   string     // a DNS name in its ASCII form, or an address without brackets
	Addr   netip.Addr // valid if host is an address
	Port   uint16
}

const (
	portHTTP  = 80
	portHTTPS = 443
)

// Parse reads a URL as an operator or a tenant wrote it. Its errors say what to write, and do not
// repeat the URL, which may hold secrets.
func Parse(text string) (*url.URL, Place, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, Place{}, errors.New("the URL is not valid: want https://host/path") // url.Parse would repeat it
	}
	p, err := ParsePlace(u)
	return u, p, err
}

// ParsePlace reads the scheme and the authority of u. Its errors do not repeat the URL.
func ParsePlace(u *url.URL) (Place, error) {
	var p Place
	switch u.Scheme {
	case "https":
		p.Secure, p.Port = true, portHTTPS
	case "http":
		p.Port = portHTTP
	case "":
		return Place{}, errors.New("the URL has no scheme: want https://")
	default:
		return Place{}, fmt.Errorf("the URL's scheme %q is not supported: want https", u.Scheme)
	}
	if u.Opaque != "" {
		return Place{}, errors.New("the URL has no host: want https://host/path")
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return Place{}, errors.New("the URL's port is not a number from 1 to 65535")
		}
		p.Port = uint16(n)
	}
	var err error
	p.Host, p.Addr, err = parseHost(u.Hostname(), strings.HasPrefix(u.Host, "["))
	return p, err
}

// parseHost returns a host in the one form that is looked up, dialled and compared. An address in a
// notation that only some resolvers read as an address (0x7f.1, 2130706433, 127.1, 010.0.0.1) is
// refused.
func parseHost(host string, bracketed bool) (string, netip.Addr, error) {
	if host == "" {
		return "", netip.Addr{}, errors.New("the URL has no host")
	}
	if bracketed || strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is6() {
			return "", netip.Addr{}, errors.New("the URL's host is not a valid IPv6 address")
		}
		// RFC 4007 §6: an address that is the same from every interface has no zone; systems differ
		// in what they do with one.
		if addr.Zone() != "" && !addr.IsLinkLocalUnicast() {
			return "", netip.Addr{}, errors.New("the URL's host is an IPv6 address with a zone that it cannot have: leave out the % and what follows it")
		}
		return addr.String(), addr, nil
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		// Underscores are common in the names of internal services; IDNA has no place for them.
		if ascii, err = relaxedName(host); err != nil {
			return "", netip.Addr{}, err
		}
	}
	ascii = strings.ToLower(ascii)
	name := strings.TrimSuffix(ascii, ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		return name, addr, nil
	}
	if name == "" || len(name) > 253 || strings.Contains("."+name+".", "..") {
		return "", netip.Addr{}, errors.New("the URL's host is not a valid name")
	}
	if looksNumeric(name[strings.LastIndexByte(name, '.')+1:]) {
		return "", netip.Addr{}, errors.New("the URL's host is an IPv4 address in an unusual notation: write four decimal numbers, like 192.0.2.1")
	}
	return ascii, netip.Addr{}, nil
}

func relaxedName(host string) (string, error) {
	for _, c := range []byte(host) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return "", errors.New("the URL's host is not a valid name")
		}
	}
	return host, nil
}

// looksNumeric reports whether some resolver could take a name with this last label for an IPv4
// address: no top-level domain is a number.
func looksNumeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// Authority is the Host header's value: the port only where it is not the scheme's own.
func (p Place) Authority() string {
	host := p.Host
	if p.Addr.Is6() {
		host = "[" + p.Addr.WithZone("").String() + "]"
	}
	if p.Secure && p.Port == portHTTPS || !p.Secure && p.Port == portHTTP {
		return host
	}
	return host + ":" + strconv.Itoa(int(p.Port))
}

// ServerName is the name that the certificate must carry.
func (p Place) ServerName() string {
	if p.Addr.IsValid() {
		return p.Addr.WithZone("").String()
	}
	return strings.TrimSuffix(p.Host, ".")
}

// SameReceiver reports whether what is meant for p, custom headers for example, may also go to q:
// the same host and port, or the same host's https port instead of its http port.
func (p Place) SameReceiver(q Place) bool {
	if p.ServerName() != q.ServerName() {
		return false
	}
	return p.Port == q.Port && p.Secure == q.Secure || !p.Secure && p.Port == portHTTP && q.Secure && q.Port == portHTTPS
}
