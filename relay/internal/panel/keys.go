package panel

import (
	"net/http"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// keysPage lists the keys of the API and makes new ones.
type keysPage struct {
	Rows      []api.Key
	Scopes    []string // that the visitor may pass on
	Name      string
	Tenant    string
	AskTenant bool
	Problem   *api.Problem
	Nonce     string
	Copies    []copied
	Pager     pager
}

func listKeys(v *visit) error { return showKeys(v, http.StatusOK, &keysPage{}) }

func showKeys(v *visit, status int, body *keysPage) error {
	call := filtersOf(v, "cursor")
	var list api.Page[api.Key]
	if err := v.get("/v1/keys", call, &list); err != nil {
		return err
	}
	body.Rows, body.Pager, body.Nonce = list.Data, pagerOf(v, "keys", nil, list.NextCursor), newToken()
	body.AskTenant = v.session.Tenant() == ""
	for _, scope := range config.Scopes() {
		if v.session.May(scope) {
			body.Scopes = append(body.Scopes, scope)
		}
	}
	s := statement{
		columns: "id, name, source, prefix, scopes, tenant, created_by, created_at, last_used_at", from: "tailpost.api_key",
		order: "created_at DESC, id DESC", limit: pageSize,
	}
	configured := []string{"source = 'api'"}
	for i := range v.panel.config().API.Keys {
		configured = append(configured, "id = "+quoteSQL(api.ConfigKeyID(&v.panel.config().API.Keys[i])))
	}
	s.where = append(s.where, "("+strings.Join(configured, " OR ")+")")
	s.equal("tenant", v.session.Tenant())
	body.Copies = copiesOf(v, s.String(), "/v1/keys", call)
	v.show(status, "keys", "Keys", "keys", body)
	return nil
}

func createKey(v *visit) error {
	form := v.r.Form
	asked := map[string]any{"name": strings.TrimSpace(form.Get("name")), "scopes": form["scope"]}
	if tenant := strings.TrimSpace(form.Get("tenant")); tenant != "" {
		asked["tenant"] = tenant
	}
	refused := func(p *api.Problem) error {
		return showKeys(v, p.Status, &keysPage{Problem: p, Name: form.Get("name"), Tenant: form.Get("tenant")})
	}
	if len(form["scope"]) == 0 {
		return refused(refuse(http.StatusUnprocessableEntity, "Choose at least one thing that the key may do."))
	}
	var made api.Key
	err := v.do(api.Request{Method: http.MethodPost, Path: "/v1/keys", Header: onceHeader(v), Body: asked}, &made)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized {
		return refused(p)
	}
	if err != nil {
		return err
	}
	if !isFresh(v, made.CreatedAt) {
		v.see("keys", "nothing-changed")
		return nil
	}
	v.show(http.StatusOK, "secret", "The key", "keys", &secretPage{
		Title: "The key " + made.Name, Secret: made.Secret, To: "keys",
		What: "Programs send it as Authorization: Bearer; people log in here with it.",
	})
	return nil
}

// keyPage asks whether a person means to delete a key.
type keyPage struct{ ID string }

func confirmKey(v *visit) error {
	v.show(http.StatusOK, "key-delete", "Delete a key", "keys", &keyPage{ID: v.r.PathValue("id")})
	return nil
}

func deleteKey(v *visit) error {
	if v.r.PostFormValue("sure") != "yes" {
		return refuse(http.StatusUnprocessableEntity, "Say that you mean it: tick the box. Nothing was changed.")
	}
	id := v.r.PathValue("id")
	if err := v.do(api.Request{Method: http.MethodDelete, Path: pathOf("keys", id)}, nil); err != nil {
		return err
	}
	if id == v.session.KeyID() {
		v.see("login", "")
		return nil
	}
	v.see("keys", "key-deleted")
	return nil
}
