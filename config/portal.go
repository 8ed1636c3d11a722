package config

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Panel says how the panel looks to people.
type Panel struct {
	Portal Portal
}

// Portal says how the customer portal looks, and which pages may show it within themselves. The
// zero Portal has no name and no logo, the panel's colours, and is framed by nobody.
type Portal struct {
	Name         string   // of who runs it
	Logo         Logo     // beside the name
	Color        string   // of links and buttons, #rrggbb; empty: the panel's
	ColorDark    string   // the same in dark
	URL          string   // where visitors reach the API's address; empty: where POST /v1/portal-links was called
	FrameOrigins []string // such as https://app.example.com
	Verify       Verify   // of the endpoints that visitors make; default echo
	RefreshURL   string   // where a visitor goes whose link is over; empty: nowhere
}

// Logo is a picture. The zero Logo is none.
type Logo struct {
	Type string // of the media, such as image/svg+xml
	Data []byte
}

const (
	maxPortalName = 60
	maxLogo       = 128 << 10
	svgType       = "image/svg+xml"
)

// decodePanel decodes the panel block.
func decodePanel(d *decoder, s *section) {
	s.check(nil, []string{"portal"})
	if b := s.single("portal"); b != nil {
		decodePortal(d, s, b)
	}
}

func decodePortal(d *decoder, outer *section, b *hclsyntax.Block) {
	s := outer.nested(b, "panel.portal.", "the portal block")
	s.check([]string{"name", "logo", "color", "color_dark", "url", "frame_origins", "refresh_url", "verify"}, nil)
	p := &d.config.Panel.Portal
	p.Name, _ = s.text("name")
	p.Color, _ = s.text("color")
	p.ColorDark, _ = s.text("color_dark")
	p.URL, _ = s.text("url")
	p.FrameOrigins, _ = s.texts("frame_origins")
	p.RefreshURL, _ = s.text("refresh_url")
	if text, ok := s.text("verify"); ok {
		p.Verify = Verify(text)
	}
	if path := s.path("logo"); path != "" {
		logo, err := readLogo(path, s.d.opts.ReadFile)
		if err != nil {
			s.wrong("logo", s.body.Attributes["logo"].Expr.Range(), "Unreadable logo", "%s.", sentence(err.Error()))
		}
		p.Logo = logo
	}
}

// readLogo reads a picture. The error says what to do.
func readLogo(path string, read func(string) ([]byte, error)) (Logo, error) {
	data, err := read(path)
	switch {
	case err != nil:
		return Logo{}, fmt.Errorf("the file cannot be read: %w", err)
	case len(data) > maxLogo:
		return Logo{}, fmt.Errorf("the file has %d bytes: make it %d at most", len(data), maxLogo)
	}
	kind := http.DetectContentType(data)
	if strings.EqualFold(filepath.Ext(path), ".svg") {
		kind = svgType
	}
	if !slices.Contains(logoTypes(), kind) {
		return Logo{}, errors.New("use an SVG, PNG, JPEG or WebP picture")
	}
	return Logo{Type: kind, Data: data}, nil
}

func logoTypes() []string { return []string{svgType, "image/png", "image/jpeg", "image/webp"} }

func checkPanel(c *checker) {
	p := &c.config.Panel.Portal
	oneOf(c, "panel.portal.verify", p.Verify, VerifyEcho, VerifyCloudEvents, VerifyNone)
	if utf8.RuneCountInString(p.Name) > maxPortalName {
		c.fail("panel.portal.name", "Long name", "Write %d characters at most.", maxPortalName)
	}
	if err := CheckName(p.Name); err != nil {
		c.fail("panel.portal.name", "Unseen characters", "%s.", sentence(err.Error()))
	}
	if p.Logo.Data != nil && (len(p.Logo.Data) > maxLogo || !slices.Contains(logoTypes(), p.Logo.Type)) {
		c.fail("panel.portal.logo", "Unusable logo", "Use an SVG, PNG, JPEG or WebP picture of %d bytes at most.", maxLogo)
	}
	checkColor(c, "panel.portal.color", p.Color, lightGround, "a darker one")
	checkColor(c, "panel.portal.color_dark", p.ColorDark, darkGround, "a lighter one")
	for i, origin := range p.FrameOrigins {
		u, err := url.Parse(origin)
		if err != nil || !webAddress(u) || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			c.fail(fmt.Sprintf("panel.portal.frame_origins[%d]", i), "Invalid origin",
				"Write scheme and host alone, such as \"https://app.example.com\"; http:// only for localhost.")
		}
	}
	for name, text := range map[string]string{"url": p.URL, "refresh_url": p.RefreshURL} {
		if text != "" && !ValidRefreshURL(text) {
			c.fail("panel.portal."+name, "Invalid address", "Write an https:// URL, such as \"https://app.example.com/webhooks\"; http:// only for localhost.")
		}
	}
	if u, err := url.Parse(p.URL); err == nil && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
		c.fail("panel.portal.url", "Path in an address", "Write scheme and host alone: the portal is at /portal/ there.")
	}
}

// ValidRefreshURL reports whether a browser may be sent to a URL: https, or http on this machine.
func ValidRefreshURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && webAddress(u) && !strings.ContainsAny(text, " \r\n\t;,\"'<>\\")
}

// webAddress reports whether a URL has a scheme and a plain host, and no user.
func webAddress(u *url.URL) bool {
	host := u.Hostname()
	local := host == "localhost" || loopback(host+":0")
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == ':'
	}
	if host == "" || u.User != nil || u.Opaque != "" || strings.ContainsFunc(host, func(r rune) bool { return !plain(r) }) {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n >= 1<<16 {
			return false
		}
	}
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// The grounds that a colour has to be told from, and by how much (WCAG 2.2, level AA).
const (
	lightGround = "#ffffff"
	darkGround  = "#1a1c1f"
	minContrast = 4.5
	lightTint   = 0.1 // of the colour, in the ground of what is chosen
	darkTint    = 0.18
)

// checkColor checks that a colour can be read upon a ground, and upon the ground tinted with it.
func checkColor(c *checker, name, text, ground, better string) {
	if text == "" {
		return
	}
	rgb, ok := parseColor(text)
	if !ok {
		c.fail(name, "Invalid colour", "Write # and six hexadecimal digits, such as \"#1d4fb8\".")
		return
	}
	tinted, _ := parseColor(Tint(text, ground == darkGround))
	if got := contrast(rgb, tinted); got < minContrast {
		c.fail(name, "Faint colour", "Text in it has a contrast of %.1f to 1 on its ground, and people need 4.5 (WCAG AA): choose %s.", got, better)
	}
}

// Tint returns the ground of what is chosen: that of the panel, in light or dark, with a little of
// a valid colour.
func Tint(color string, dark bool) string {
	ground, share := lightGround, lightTint
	if dark {
		ground, share = darkGround, darkTint
	}
	on, _ := parseColor(ground)
	of, _ := parseColor(color)
	return formatColor(mix(on, of, share))
}

// Lighter returns a valid colour with as much white as text on dark needs.
func Lighter(color string) string {
	rgb, _ := parseColor(color)
	for share := 0.0; share < 1; share += 0.05 {
		made := formatColor(mix(rgb, [3]float64{255, 255, 255}, share))
		of, _ := parseColor(made)
		tinted, _ := parseColor(Tint(made, true))
		if contrast(of, tinted) >= minContrast {
			return made
		}
	}
	return lightGround
}

// Ink returns the colour of text upon a valid colour: white or nearly black, whichever is read
// better.
func Ink(color string) string {
	rgb, _ := parseColor(color)
	white, black := [3]float64{255, 255, 255}, [3]float64{14, 21, 38}
	if contrast(rgb, white) >= contrast(rgb, black) {
		return lightGround
	}
	return formatColor(black)
}

func parseColor(text string) (rgb [3]float64, ok bool) {
	if len(text) != len(lightGround) || text[0] != '#' {
		return rgb, false
	}
	n, err := strconv.ParseUint(text[1:], 16, 32)
	return [3]float64{float64(n >> 16 & 0xff), float64(n >> 8 & 0xff), float64(n & 0xff)}, err == nil
}

func formatColor(rgb [3]float64) string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(rgb[0])), int(math.Round(rgb[1])), int(math.Round(rgb[2])))
}

func mix(a, b [3]float64, share float64) (rgb [3]float64) {
	for i := range rgb {
		rgb[i] = a[i] + (b[i]-a[i])*share
	}
	return rgb
}

// contrast is that of WCAG 2: from 1 to 21.
func contrast(a, b [3]float64) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(rgb [3]float64) float64 {
	var linear [3]float64
	for i, v := range rgb {
		v /= 255
		if v <= 0.04045 {
			linear[i] = v / 12.92
		} else {
			linear[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}
