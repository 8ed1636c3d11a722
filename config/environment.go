package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// sensitive marks values that came from the environment or a file.
type sensitive struct{}

// callError is a function's failure, as a diagnostic says it.
type callError struct{ summary, detail string }

func (e *callError) Error() string {
	return e.summary + ": " + e.detail
}

// environment is every function of configuration files, for a file in dir.
func environment(opts Options, dir string) map[string]function.Function {
	return map[string]function.Function{
		"env":   envFunction(opts),
		"file":  fileFunction(opts, dir),
		"split": stdlib.SplitFunc,
	}
}

// envFunction is env("NAME") and env("NAME", "default").
func envFunction(opts Options) function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String, AllowMarked: true}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String, AllowMarked: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if args[0].IsMarked() { // a diagnostic names the variable
				return cty.UnknownVal(cty.String), &callError{"Secret as a name", `Write the variable's name as it is: env("NAME").`}
			}
			name := args[0].AsString()
			value, ok := opts.Getenv(name)
			switch {
			case len(args) > 2:
				return cty.UnknownVal(cty.String), &callError{"Wrong number of arguments", `Write env("NAME") or env("NAME", "default").`}
			case ok:
				return secretValue(value, "the environment variable "+name)
			case len(args) == 2:
				return args[1], nil
			default:
				return cty.UnknownVal(cty.String), &callError{
					"Missing environment variable",
					fmt.Sprintf("Set %s, or give a default: env(%q, \"…\").", name, name),
				}
			}
		},
	})
}

// fileFunction is file("path"): the contents without a last line break.
func fileFunction(opts Options, dir string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String, AllowMarked: true}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name, marks := args[0].Unmark()
			path, shown := name.AsString(), "the file"
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			if len(marks) == 0 { // file(env("NAME")) is fine, but what it names is not shown
				shown += " " + path
			}
			text, err := opts.ReadFile(path)
			if err != nil {
				return cty.UnknownVal(cty.String), &callError{"Unreadable file", unreadable(path, err).Detail + " It is " + shown + "."}
			}
			return secretValue(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), shown)
		},
	})
}

// secretValue marks a value as sensitive. It refuses a text that cty would change by bringing it
// into Unicode's composed form: a secret must keep its bytes.
func secretValue(text, from string) (cty.Value, error) {
	v := cty.StringVal(text)
	if v.AsString() != text {
		return cty.UnknownVal(cty.String), &callError{
			"Unusual characters", fmt.Sprintf("Write %s in composed Unicode (NFC), or encode it in base64.", from),
		}
	}
	return v.Mark(sensitive{}), nil
}
