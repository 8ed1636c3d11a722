package panel

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/tailpost/tailpost/config"
)

// visible makes a rendered page show what its texts hold, whoever wrote them. A character that
// shows nothing, or that turns what follows around, is named in its place: a name cannot look like
// another. Text that runs from right to left is kept from moving what stands beside it. What is
// copied from a page is still what was there. The page is HTML that templates made, so that < is
// always a tag.
func visible(page []byte) []byte {
	if !bytes.ContainsFunc(page, func(r rune) bool { return config.Unseen(r) || rightToLeft(r) }) {
		return page
	}
	var out bytes.Buffer
	out.Grow(len(page) + len(page)/8)
	plain := "" // the element within which there is no other
	for len(page) > 0 {
		if page[0] != '<' {
			n := bytes.IndexByte(page, '<')
			if n < 0 {
				n = len(page)
			}
			switch plain {
			case "":
				showTextOf(&out, page[:n])
			case "textarea": // it is sent back as it is
				out.Write(page[:n])
			default:
				writeNamed(&out, page[:n])
			}
			page = page[n:]
			continue
		}
		n := tagEnd(page)
		switch name := tagName(page[:n]); {
		case plain == "" && (name == "textarea" || name == "title" || name == "option"):
			plain = name
		case plain != "" && name == "/"+plain:
			plain = ""
		}
		out.Write(page[:n])
		page = page[n:]
	}
	return out.Bytes()
}

// tagEnd is where the tag that a page begins with ends: a > within quotes belongs to an attribute.
func tagEnd(page []byte) int {
	var quote byte
	for i, c := range page {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(page)
}

func tagName(tag []byte) string {
	end := bytes.IndexAny(tag, " \n>")
	if end < 1 {
		return ""
	}
	return string(tag[1:end])
}

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

func nameOf(r rune) string { return fmt.Sprintf("U+%04X", r) }

// writeNamed writes text where there can be no element.
func writeNamed(out *bytes.Buffer, text []byte) {
	for _, r := range string(text) {
		if config.Unseen(r) {
			out.WriteString("‹" + nameOf(r) + "›")
			continue
		}
		out.WriteRune(r)
	}
}

// showTextOf writes text with the names of what does not show, and from the first to the last
// character that runs from right to left apart from what is around them.
func showTextOf(out *bytes.Buffer, text []byte) {
	first := bytes.IndexFunc(text, rightToLeft)
	if first < 0 {
		nameUnseen(out, text)
		return
	}
	last := bytes.LastIndexFunc(text, rightToLeft)
	_, size := utf8.DecodeRune(text[last:])
	nameUnseen(out, text[:first])
	out.WriteString("<bdi>")
	nameUnseen(out, text[first:last+size])
	out.WriteString("</bdi>")
	nameUnseen(out, text[last+size:])
}

func nameUnseen(out *bytes.Buffer, text []byte) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if config.Unseen(r) {
			out.WriteString(`<span class="unseen" data-name="` + nameOf(r) + `">`)
			out.Write(text[:size])
			out.WriteString(`</span>`)
		} else {
			out.Write(text[:size])
		}
		text = text[size:]
	}
}
