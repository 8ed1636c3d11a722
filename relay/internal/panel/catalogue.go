package panel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// typeDetail is an entry of the catalogue, with its documents as they are.
type typeDetail struct {
	api.EventType

	Schema  json.RawMessage `json:"schema"`
	Example json.RawMessage `json:"example"`

	Versions []versionDetail `json:"versions"`
}

// versionDetail is a type in an older version, with its documents as they are.
type versionDetail struct {
	Version string          `json:"version"`
	Schema  json.RawMessage `json:"schema"`
	Example json.RawMessage `json:"example"`
	Made    bool            `json:"made"`

	SchemaShown, ExampleShown shown
}

// cataloguePage lists types of events.
type cataloguePage struct {
	Rows   []api.EventType
	Copies []copied
	Pager  pager
}

func showCatalogue(v *visit) error {
	call := filtersOf(v, "cursor")
	var list api.Page[api.EventType]
	if err := v.get("/v1/event-types", call, &list); err != nil {
		return err
	}
	s := statement{columns: "name, description, deprecated, version, updated_at", from: "tailpost.event_type", order: "name", limit: pageSize}
	body := &cataloguePage{Rows: list.Data, Pager: pagerOf(v, "catalogue", nil, list.NextCursor), Copies: copiesOf(v, s.String(), "/v1/event-types", call)}
	body.Pager.Label = "More"
	v.show(http.StatusOK, "catalogue", "Catalogue", "catalogue", body)
	return nil
}

// typePage is one type of events.
type typePage struct {
	typeDetail

	SchemaShown, ExampleShown shown
}

func showEventType(v *visit) error {
	body := &typePage{}
	if err := v.get(pathOf("event-types", v.r.PathValue("name")), nil, &body.typeDetail); err != nil {
		return err
	}
	body.SchemaShown, body.ExampleShown = showText(string(body.Schema)), showText(string(body.Example))
	for i := range body.Versions {
		v := &body.Versions[i]
		v.SchemaShown, v.ExampleShown = showText(string(v.Schema)), showText(string(v.Example))
	}
	v.show(http.StatusOK, "type", body.Name, "catalogue", body)
	return nil
}

// typeForm is an entry as a person writes it.
type typeForm struct {
	Name, Description, Schema, Example, Versions, Version string
	Deprecated, New                                       bool
	Problem                                               *api.Problem
	Versioned                                             bool // there are versions to describe
}

func editType(v *visit) error {
	form := &typeForm{Name: v.r.URL.Query().Get("name"), New: true}
	if form.Name != "" {
		var t typeDetail
		if err := v.get(pathOf("event-types", form.Name), nil, &t); err != nil && !notFound(err) {
			return err
		} else if err == nil {
			form = &typeForm{
				Name: t.Name, Description: t.Description, Schema: indent(t.Schema), Example: indent(t.Example), Deprecated: t.Deprecated,
				Version: strconv.FormatInt(t.Version, 10), Versions: olderText(t.Versions),
			}
		}
	}
	return showTypeForm(v, http.StatusOK, form)
}

// olderText is what people described of older versions, as the API takes it.
func olderText(versions []versionDetail) string {
	described := make(map[string]map[string]json.RawMessage)
	for i := range versions {
		is := make(map[string]json.RawMessage)
		if versions[i].Schema != nil {
			is["schema"] = versions[i].Schema
		}
		if versions[i].Example != nil && !versions[i].Made {
			is["example"] = versions[i].Example
		}
		if len(is) > 0 {
			described[versions[i].Version] = is
		}
	}
	if len(described) == 0 {
		return ""
	}
	text, err := json.Marshal(described)
	if err != nil {
		return "" // it came as JSON
	}
	return indent(text)
}

func showTypeForm(v *visit, status int, form *typeForm) error {
	var all api.PayloadVersions
	if err := v.get("/v1/versions", nil, &all); err != nil {
		return err
	}
	form.Versioned = len(all.Data) > 1 || form.Versions != ""
	v.show(status, "type-form", "Describe a type", "catalogue", form)
	return nil
}

// indent is a document for people; its numbers keep their digits.
func indent(raw json.RawMessage) string {
	var b strings.Builder
	text, err := json.MarshalIndent(raw, "", "  ")
	if err != nil || len(raw) == 0 {
		return ""
	}
	b.Write(text)
	return b.String()
}

func saveType(v *visit) error {
	of := v.r.PostFormValue
	form := &typeForm{
		Name: strings.TrimSpace(of("name")), Description: strings.TrimSpace(of("description")), Schema: strings.TrimSpace(of("schema")),
		Example: strings.TrimSpace(of("example")), Versions: strings.TrimSpace(of("versions")), Version: of("version"), Deprecated: of("deprecated") != "", New: of("version") == "",
	}
	asked := map[string]any{"description": form.Description, "deprecated": form.Deprecated}
	for name, text := range map[string]string{"schema": form.Schema, "example": form.Example, "versions": form.Versions} {
		if text == "" {
			continue
		}
		if !json.Valid([]byte(text)) {
			form.Problem = refuse(http.StatusUnprocessableEntity, "What is in the field "+name+" is not valid JSON.")
			return showTypeForm(v, http.StatusUnprocessableEntity, form)
		}
		asked[name] = json.RawMessage(text)
	}
	in := api.Request{Method: http.MethodPut, Path: pathOf("event-types", form.Name), Body: asked}
	if form.Version != "" {
		in.Header = http.Header{"If-Match": {strconv.Quote(form.Version)}}
	}
	err := v.do(in, nil)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized {
		form.Problem = p
		return showTypeForm(v, p.Status, form)
	}
	if err != nil {
		return err
	}
	v.see("catalogue/types/"+url.PathEscape(form.Name), "type-saved")
	return nil
}

func deleteType(v *visit) error {
	if v.r.PostFormValue("sure") != "yes" {
		return refuse(http.StatusUnprocessableEntity, "Say that you mean it: tick the box. Nothing was changed.")
	}
	if err := v.do(api.Request{Method: http.MethodDelete, Path: pathOf("event-types", v.r.PathValue("name"))}, nil); err != nil {
		return err
	}
	v.see("catalogue", "type-deleted")
	return nil
}
