package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/tailpost/tailpost/config/diag"
)

// FormatSource returns src in the canonical layout. The error is of type Diagnostics, for a file
// that does not parse; names in it are those of the file as given.
func FormatSource(src []byte, filename string) ([]byte, error) {
	s := diag.NewSource(filename, src)
	if _, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos); diags.HasErrors() {
		return nil, s.Adopt(diags).Sorted()
	}
	return hclwrite.Format(src), nil
}
