package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func bigDoc(n int, last string) []byte {
	var b strings.Builder
	b.WriteString(`{"id":1,"items":[`)
	for i := 0; b.Len() < n; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"sku":"SKU-%d","name":"A \"nice\" thing","total":%d.5,"tags":["a","b"]}`, i, i, i)
	}
	b.WriteString(`],` + last + `}`)
	return []byte(b.String())
}

func flatDoc(n int, last string) []byte {
	var b strings.Builder
	b.WriteString(`{`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `"field%d":%d,`, i, i)
	}
	b.WriteString(last + `}`)
	return []byte(b.String())
}

func BenchmarkLocate(b *testing.B) {
	for _, n := range []int{500, 100_000} {
		for name, doc := range map[string][]byte{"nested": bigDoc(n, `"total":12,"z":{"y":3}`), "text": []byte(`{"text":"` + strings.Repeat("Lorem ipsum, ", n/13) + `","total":12,"z":{"y":3}}`), "flat": flatDoc(n, `"total":12,"z":{"y":3}`)} {
			for _, p := range [][]string{{"total"}, {"z", "y"}, {"nope"}} {
				path := make([]step, 0, 2)
				for _, s := range p {
					path = append(path, memberStep(s))
				}
				b.Run(fmt.Sprintf("%s/%d/%s/own", name, n, strings.Join(p, ".")), func(b *testing.B) {
					b.SetBytes(int64(len(doc)))
					for b.Loop() {
						locate(doc, path)
					}
				})
				b.Run(fmt.Sprintf("%s/%d/%s/gjson", name, n, strings.Join(p, ".")), func(b *testing.B) {
					b.SetBytes(int64(len(doc)))
					for b.Loop() {
						gjson.GetBytes(doc, strings.Join(p, "."))
					}
				})
			}
		}
	}
}
