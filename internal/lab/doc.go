// Package lab is the framework of the experiments of the load tool. From one struct of parameters
// it makes flags, scenario fields, validation, help and JSON. It runs an experiment as a command,
// and shows the result as text, JSON and files.
//
// An [Experiment] has parameters, a Run, and a Page with tables of measures, charts, checks and a
// finding. [Command] makes a command of it. Code that experiments share is in the folders of
// internal/lab, one for each subject.
//
// Read experiment.go first, then command.go for the steps of a command.
package lab
