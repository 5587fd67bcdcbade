// Package lab is what every experiment of the load tool is made of: one struct of parameters from
// which flags, scenario fields, validation, help and JSON come, one way to run, and one way to
// show what came out, as text, JSON and files.
//
// An [Experiment] is parameters, a Run, and a Page: tables made of measures, charts, checks and a
// finding. [Command] makes a command of it. What experiments do alike lives beside this package,
// below internal/lab, one subject a folder.
//
// Read experiment.go first, then command.go for what happens in which order.
package lab
