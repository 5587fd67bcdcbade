// Package trace reads cache traces: recorded sequences of the keys that a program requested.
//
// Three text formats are read, plain or gzipped:
//
//   - [ARC]: four columns, "start count ignore ignore". The line stands for
//     count requests, of the keys start, start+1, and so on. The traces that
//     were published with the ARC paper, and the SPC traces made from them,
//     have this format.
//   - [Keys]: one key per line, verbatim.
//   - [CSV]: a header row and a key column, chosen by name or number.
//
// Gzip is detected by its first bytes and not by the file's name. The format is guessed from the
// first lines unless [Options].Format is set.
//
// A [Reader] streams: it holds one line at a time, whatever the file's size. [Load] reads a whole
// trace into memory, as a table of distinct keys and one small number per request, which replays
// fastest.
//
// Traces are untrusted input. Lines, counts, the decompressed size and the number of requests have
// limits. Every error in the text is a [*SyntaxError] with file, line and field.
package trace
