package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// maxDifferences bounds the pointers to what differs between two bodies.
const maxDifferences = 100

// differences returns pointers to what two documents have otherwise, or only one of them has, in
// the order of their names. Numbers are compared by their digits.
func differences(a, b json.RawMessage) []string {
	var found []string
	diffValues(&found, "", decodeNumbers(a), decodeNumbers(b))
	return found
}

func decodeNumbers(raw json.RawMessage) (value any) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	_ = dec.Decode(&value) // it is valid
	return value
}

// absent stands for a member that a document does not have: null is a value.
type absent struct{}

func diffValues(found *[]string, pointer string, a, b any) {
	if len(*found) == maxDifferences {
		return
	}
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			diffObjects(found, pointer, a, b)
			return
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				diffValues(found, pointer+"/"+strconv.Itoa(i), a[i], b[i])
			}
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		*found = append(*found, pointer)
	}
}

func diffObjects(found *[]string, pointer string, a, b map[string]any) {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	member := func(o map[string]any, name string) any {
		if v, ok := o[name]; ok {
			return v
		}
		return absent{}
	}
	for _, name := range names {
		diffValues(found, pointer+"/"+escapePointer(name), member(a, name), member(b, name))
	}
}
