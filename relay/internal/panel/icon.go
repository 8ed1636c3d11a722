package panel

import "html/template"

// icon draws one of the panel's icons: 16 by 16, in the colour of the text around it.
func icon(name string) template.HTML {
	paths := map[string]string{
		"overview":    `<path d="M2 13V8.5M6 13V4M10 13V6.5M14 13V2.5"/>`,
		"endpoints":   `<circle cx="8" cy="8" r="2.2"/><path d="M8 1.5v4.3M8 10.2v4.3M1.5 8h4.3M10.2 8h4.3"/>`,
		"log":         `<path d="M2.5 4h11M2.5 8h11M2.5 12h7"/>`,
		"events":      `<path d="M8 1.8 13.8 5v6L8 14.2 2.2 11V5L8 1.8Z"/><path d="M2.4 5 8 8l5.6-3M8 8v6"/>`,
		"undelivered": `<path d="M8 1.8 14.5 13.4h-13L8 1.8Z"/><path d="M8 6.4v3.2M8 11.4v.2"/>`,
		"replays":     `<path d="M2.5 8a5.5 5.5 0 1 0 1.7-4"/><path d="M4 1.5V4.3h2.8"/>`,
		"resends":     `<path d="M1.8 8 14 2.4 11 13.6 7.4 9.4 1.8 8Z"/><path d="M7.4 9.4 14 2.4"/>`,
		"catalogue":   `<path d="M3 2.5h8.5A1.5 1.5 0 0 1 13 4v9.5H4.5A1.5 1.5 0 0 1 3 12V2.5Z"/><path d="M3 12a1.5 1.5 0 0 1 1.5-1.5H13M6 5.5h4"/>`,
		"portal":      `<path d="M3 14V3.500A1.500 1.500 0 0 1 4.500 2h7A1.500 1.500 0 0 1 13 3.500V14M1.500 14h13"/><path d="M10 8v.300"/>`,
		"keys":        `<circle cx="5.3" cy="10.7" r="2.8"/><path d="m7.4 8.6 6-6M11 5l2 2M9 7l1.5 1.5"/>`,
		"audit":       `<path d="M8 1.8 13.2 4v4c0 3-2.2 5.2-5.2 6.2C5 13.200 2.800 11 2.800 8V4L8 1.800Z"/><path d="m5.700 8 1.600 1.600 3-3.200"/>`,
		"relay":       `<rect x="2" y="2.500" width="12" height="4.500" rx="1"/><rect x="2" y="9" width="12" height="4.500" rx="1"/><path d="M4.500 4.800v.010M4.500 11.300v.010"/>`,
		"menu":        `<path d="M2 4.500h12M2 8h12M2 11.500h12"/>`,
		"theme":       `<circle cx="8" cy="8" r="5.500"/><path d="M8 2.500a5.500 5.500 0 0 1 0 11Z" fill="currentColor"/>`,
		"copy":        `<rect x="5.500" y="5.500" width="8" height="8" rx="1.500"/><path d="M10.500 5.500v-2A1 1 0 0 0 9.500 2.500h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2"/>`,
		"plus":        `<path d="M8 3v10M3 8h10"/>`,
		"help":        `<circle cx="8" cy="8" r="6"/><path d="M6.200 6.200a1.900 1.900 0 1 1 2.600 1.800c-.5.2-.8.6-.8 1.100M8 11.200v.010"/>`,
	}
	return template.HTML(`<svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">` + //nolint:gosec // constants
		paths[name] + `</svg>`)
}
