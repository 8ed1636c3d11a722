package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// SearchFilter chooses by the values that the configuration's outbox.search names.
type SearchFilter struct {
	Search []string `query:"search,explode" maxItems:"4" maxLength:"1000" doc:"Only what has this value, as name=value; the configuration names them in outbox.search. A value without a name is looked for under every name. Repeated, all must be found." example:"order=42"`
}

// nameReserved has the document say that the equals sign of a term may stand as it is.
func nameReserved(doc *huma.OpenAPI) {
	for _, item := range doc.Paths {
		if item.Get == nil {
			continue
		}
		for _, p := range item.Get.Parameters {
			p.AllowReserved = p.AllowReserved || p.Name == "search"
		}
	}
}

// searchTerms returns the terms of a search.
func searchTerms(s *Server, f *SearchFilter) ([]query.Term, error) {
	var terms []query.Term
	for _, text := range f.Search {
		name, value := config.SplitSearchTerm(text)
		if value == "" {
			return nil, invalid(of("search", "Write a value, as in order=42."))
		}
		names := []string{name}
		if name == "" {
			names = s.config().Outbox.Search.Names()
		}
		if len(names) == 0 {
			return nil, invalid(of("search", "The configuration names nothing to search by. Set outbox { search = { order = event.data.order_id } }; what is recorded from then on is found."))
		}
		term := make(query.Term, len(names))
		for i, n := range names {
			term[i] = config.SearchTerm(n, value)
		}
		terms = append(terms, term)
	}
	return terms, nil
}
