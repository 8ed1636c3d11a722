package api

import "github.com/tailpost/tailpost/config"

// What events say and what receivers answer is for keys with payloads:read. Whatever shows any of
// it asks here.

// readsPayloads reports whether the caller may read payloads, headers of events, answers, and the
// values that filters looked at.
func (p *principal) readsPayloads() bool { return p.may(config.ScopePayloadsRead) }

// learnsPayloads reports whether the caller may find payloads out by trying expressions on them.
// Who may write endpoints can have every payload sent to one.
func (p *principal) learnsPayloads() bool {
	return p.readsPayloads() || p.may(config.ScopeEndpointsWrite)
}

// conceal takes from an attempt what the caller may not read.
func (a *Attempt) conceal(p *principal) {
	if p.readsPayloads() {
		return
	}
	a.ResponseBody, a.ResponseTruncated, a.ResponseHidden = "", false, true
	a.Search, a.RequestHeaders, a.ResponseHeaders = nil, nil, nil
}
