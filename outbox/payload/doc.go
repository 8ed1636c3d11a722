// Package payload reads and writes parts of JSON documents without decoding the rest of them.
//
//	Path.Find     finds a value: a filter on a large payload reads the names on its way, and
//	              builds nothing
//	Valid         reports whether a document is JSON
//	End, Count    where a value ends, how many elements it has
//	Decimal       numbers in base ten, exact up to 18 digits; Compare is exact for any number
//	AppendString  a text as JSON, with as few escapes as JSON allows
//
// A document is whatever the application wrote. One that is not JSON gets some answer, never a
// panic; of a name that occurs twice in one object the last counts, as it does for jsonb and for
// nearly every parser.
//
// The package imports the standard library only.
package payload
