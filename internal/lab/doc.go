// Package lab is the framework of the experiments of the load tool. From one struct of parameters
// it makes flags, scenario fields, validation, help and JSON. It runs an experiment as a command,
// and shows the result as text, JSON and files.
//
// An [Experiment] has parameters, a Run, and a Page with tables of measures, charts, checks and a
// finding. [Command] makes a command of it. Code that experiments share is in the folders of
// internal/lab, one for each subject.
//
// Read experiment.go first, then command.go for the steps of a command.
//
// # A new experiment
//
// Start from a copy of internal/experiment/churn, the smallest one. It is one file: parameters,
// Run, measures, checks and the Page. The tags of the parameters are those of package params. Then
//
//   - add its Command to cmd/cachebench/root.go;
//   - add its name to TestHelpFitsAScreen in cmd/cachebench/usage_test.go;
//   - describe it in docs/cachebench.md, and list it in docs/architecture.md;
//   - run it for some seconds in .ci/run.
//
// "cachebench NAME --out FOLDER" shows the result as people see it.
package lab
