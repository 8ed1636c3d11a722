// Package catalogue reads descriptions of event types from files, and holds payloads against them.
//
// It owns which documents describe types (the webhooks of OpenAPI 3.1, JSON Schema files), how a
// schema is cut out of its document so that it stands alone, and the bounds of both: a document has
// a size, and a check a number of steps. References lead to what is in the same document and
// nowhere else: nothing is fetched, and no further file is read.
package catalogue
