// Package trace reads cache traces: the recorded order in which a program
// asked for its keys.
//
// Three text formats are read, plain or gzipped:
//
//   - [ARC]: four columns, "start count ignore ignore". The line stands for
//     count requests, of the keys start, start+1, and so on. The traces that
//     were published with the ARC paper, and the SPC traces made from them,
//     look like this.
//   - [Keys]: one key per line, taken as it stands.
//   - [CSV]: a header row and a key column, chosen by name or number.
//
// Gzip is recognised by its first bytes and not by the file's name. The format
// is guessed from the first lines unless [Options].Format forces one.
//
// A [Reader] streams: it holds one line at a time, whatever the file's size.
// [Load] reads a whole trace into memory in the shape that replays fastest,
// a table of distinct keys and one small number per request.
//
// Traces come from elsewhere, so nothing in them is trusted. Lines, counts, the
// decompressed size and the number of requests all have limits, and whatever
// is wrong with the text is a [*SyntaxError] that names file, line and field.
package trace
