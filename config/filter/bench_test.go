package filter_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
)

// large is a payload of about size bytes: an order of many items, or of one long text, or of many
// plain members. The member total comes first, in the middle or last.
func large(size int, shape, position string) []byte {
	const total = `"total":150.25`
	var parts []string
	for n := 0; n < size; {
		part := fmt.Sprintf(`"field_%d":"value %d"`, len(parts), len(parts)*7)
		switch shape {
		case "items":
			part = fmt.Sprintf(`{"sku":"SKU-%d","name":"A \"nice\" thing","qty":%d,"total":%d.5,"tags":["a","b"]}`, n, n%9, n)
		case "text":
			part = strings.Repeat("Lorem ipsum dolor ", 10)
		}
		parts = append(parts, part)
		n += len(part) + 1
	}
	half := len(parts) / 2
	wrap := func(name string, parts []string) string {
		switch shape {
		case "items":
			return fmt.Sprintf(`%q:[%s]`, name, strings.Join(parts, ","))
		case "text":
			return fmt.Sprintf(`%q:%q`, name, strings.Join(parts, ""))
		default:
			return strings.Join(parts, ",")
		}
	}
	first, second := wrap("first", parts[:half]), wrap("second", parts[half:])
	members := []string{total, first, second}
	switch position {
	case "middle":
		members = []string{first, total, second}
	case "last":
		members = []string{first, second, total}
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// BenchmarkWhere reads a value of a payload and signs the payload, in turns. "of-signing" is what a
// where expression costs as a part of what signing costs; a busy machine slows down both.
func BenchmarkWhere(b *testing.B) {
	where := compileFilter(b, `event.data.total > 100 && event.tenant != "test"`)
	for _, size := range []int{500, 100_000} {
		for _, shape := range []string{"items", "text", "members"} {
			for _, position := range []string{"first", "middle", "last"} {
				e := &outbox.Event{Payload: large(size, shape, position), Tenant: "acme"}
				ok, missing := where.Match(e)
				require.True(b, ok && !missing)
				b.Run(fmt.Sprintf("%dB/%s/%s", size, shape, position), func(b *testing.B) {
					mac := hmac.New(sha256.New, []byte("an example of a key of 32 bytes."))
					var sum [sha256.Size]byte
					matching, signing := time.Hour, time.Hour // the shortest: other programs on the machine only add
					b.ReportAllocs()
					for b.Loop() {
						begin := time.Now()
						for range 16 {
							where.Match(e)
						}
						between := time.Now()
						for range 16 {
							mac.Reset()
							mac.Write(e.Payload)
							mac.Sum(sum[:0])
						}
						matching, signing = min(matching, between.Sub(begin)), min(signing, time.Since(between))
					}
					b.ReportMetric(float64(matching)/float64(signing), "of-signing")
					b.ReportMetric(float64(matching.Nanoseconds())/16, "where-ns")
					b.ReportMetric(float64(signing.Nanoseconds())/16, "sign-ns")
				})
			}
		}
	}
}

func BenchmarkFilterOnTenant(b *testing.B) {
	f := compileFilter(b, `event.tenant == "acme" && startswith(event.type, "order.")`)
	e := order()
	b.ReportAllocs()
	for b.Loop() {
		f.Match(e)
	}
}

func BenchmarkBody(b *testing.B) {
	body, diags := filter.CompileBody(`{ order = event.data.id, total = event.data.total, city = event.data.customer.address.city }`, "", 1)
	require.Empty(b, diags)
	e := order()
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = body.Append(dst[:0], e)
	}
}
