package config

// unavailable lists the settings whose behavior is not built, with what may be written all the same; nothing where the
// block or attribute must be left out. They are parsed and checked like any other, then refused. To make one available,
// delete its line.
func unavailable() map[string]string {
	return map[string]string{
		"metrics": "",
	}
}

// refusal says what to do about a setting that is not available. It is false for one that is.
func refusal(name string) (detail string, refused bool) {
	allowed, refused := unavailable()[name]
	if allowed != "" {
		return name + " can only be " + allowed + " in this version. Remove it.", refused
	}
	return name + " is not available in this version. Remove it.", refused
}
