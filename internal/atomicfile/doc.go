// Package atomicfile writes a whole file or leaves the old one alone.
//
// The bytes go to a temporary file beside the target, which is then renamed
// over it. A reader, or a run that is cut off, never sees half a report.
package atomicfile
