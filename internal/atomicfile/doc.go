// Package atomicfile writes a whole file or leaves the old one unchanged.
//
// It writes to a temporary file beside the target, and then renames it over the target. So a reader
// never sees half a file, even if the program is killed.
package atomicfile
