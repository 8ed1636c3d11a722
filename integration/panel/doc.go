// Package panel tests the panel as a person uses it: a relay that delivers, real receivers, a real
// Chromium.
package panel
