package panel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
)

// sealDone is what a link carries of what was done: a word, counts, and a mark that only this
// session makes, for this page. Without it any link could have the panel say anything.
func sealDone(v *visit, at, word string, counts []int64) string {
	for _, n := range counts {
		word += "." + strconv.FormatInt(n, 10)
	}
	if u, err := url.Parse(at); err == nil {
		at = u.Path
	}
	return word + "." + markOf(v, "done", at, word)
}

// markOf makes a mark over texts, which stands for their having been said to this session.
func markOf(v *visit, purpose string, texts ...string) string {
	mac := hmac.New(sha256.New, []byte(v.token))
	mac.Write([]byte("tailpost panel " + purpose))
	for _, text := range texts {
		mac.Write([]byte(strconv.Itoa(len(text)) + ":" + text))
	}
	const enough = 16
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:enough])
}

// doneOf returns what the page says was done; empty: nothing, or nothing that this session did.
func doneOf(v *visit) string {
	word, mark, ok := cutLast(v.r.URL.Query().Get("done"), ".")
	if !ok || v.token == "" || !hmac.Equal([]byte(mark), []byte(markOf(v, "done", v.r.URL.Path, word))) {
		return ""
	}
	parts := strings.Split(word, ".")
	counts := make([]int64, len(parts)-1)
	for i, text := range parts[1:] {
		counts[i], _ = strconv.ParseInt(text, 10, 64) // sealDone wrote it
	}
	return doneInWords(parts[0], counts)
}

func cutLast(text, mark string) (before, after string, ok bool) {
	at := strings.LastIndex(text, mark)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(mark):], true
}

// doneInWords returns what pages say after a form was carried out.
func doneInWords(word string, counts []int64) string {
	if len(counts) > 1 {
		return countedInWords(word, counts[0], counts[1])
	}
	return map[string]string{
		"paused":          "The endpoint is paused. Its events are queued.",
		"resumed":         "The endpoint is resumed. What was queued goes out first.",
		"enabled":         "The endpoint is enabled again.",
		"verified":        "The endpoint has shown that it wants events. What waited for that goes out.",
		"unverified":      "The endpoint was asked, and did not pass.",
		"deleted":         "The endpoint is deleted.",
		"saved":           "The changes are saved.",
		"made-before":     "The endpoint was made already, by the same form. Its secret was shown then and is not shown again.",
		"rotated-before":  "The secret was rotated already, by the same form. It was shown then and is not shown again.",
		"resent":          "The delivery is queued. It goes out in a moment.",
		"resending":       "The resend has begun.",
		"replaying":       "The replay has begun.",
		"cancelled":       "It is cancelled. What it queued already is still delivered.",
		"link-revoked":    "The link is revoked. The sessions that it opened are over.",
		"key-deleted":     "The key is deleted. Its sessions are over.",
		"type-saved":      "The type is saved.",
		"type-deleted":    "The type is deleted from the catalogue.",
		"nothing-chosen":  "Nothing was chosen. Select deliveries first.",
		"nothing-changed": "Nothing was changed.",
	}[word]
}

// countedInWords says how many deliveries were discarded or resent, of how many that were asked
// for.
func countedInWords(word string, n, of int64) string {
	one, many, none := "The delivery is discarded.", " deliveries are discarded.", "0 were discarded: "
	if word == "resent" {
		one, many, none = "The delivery is queued. It goes out in a moment.", " deliveries are queued. They go out in a moment.", "0 were queued: "
	}
	text := count(n) + many
	switch {
	case n == 0 && of == 1:
		return none + "the delivery is not there any more, or it has changed."
	case n == 0:
		return none + "they are not there any more, or they have changed."
	case n == 1:
		text = one
	}
	switch {
	case word == "discarded-more":
		text += " That is as many as one press does. There are more: go on."
	case n < of:
		text += " The other " + count(of-n) + " of " + count(of) + " are not there any more, or they have changed."
	}
	return text
}
