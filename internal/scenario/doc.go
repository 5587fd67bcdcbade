// Package scenario reads scenario files: everything that settles a run of the
// load tool, in YAML, of which JSON is a part.
//
// testdata/scenarios/README.md documents every field; a test holds it to the
// code. What a file leaves out has the value that [Default] gives it. What it
// gets wrong is reported in full and not only the first mistake, each as a
// [*FieldError] with file, line and the path of the field. Unknown fields are
// mistakes, since a misspelt one would otherwise silently have its default.
//
// The order is: [Load] or [Parse], then [Scenario.Set] for what flags override,
// then [Scenario.Validate] again, then [Scenario.NewSpace] and
// [Scenario.OriginConfig] to make the parts of the run.
package scenario
