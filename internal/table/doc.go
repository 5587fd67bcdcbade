// Package table holds a table once and shows it in many ways.
//
// A [Table] has columns and rows of cells. A [Cell] knows both its text and,
// where it has one, its number and unit, so the terminal, a Markdown page, an
// HTML report and JSON all come from the same data. A row or a column may say
// whether higher or lower is better; the best of the cells that can be compared
// is then marked.
//
// Colour is used only where [Style] allows it: [StyleFor] allows it for a
// terminal, and not when NO_COLOR is set. Control characters in cells are
// dropped, so data can't smuggle an escape code in. A Table is plain data: safe
// to read from many goroutines, not to change meanwhile.
package table
