// Package docscheck checks the project's Markdown pages: that the targets of links and anchors
// exist, that commands exist, that Go blocks compile, and that lines fit 100 columns.
//
// [Load] reads the pages. [Page.Columns], [Links], [MakeTargets] and [GoTool] need only the
// checkout, and [GoBlocks] runs the go command. The tests of cachebench, which know its flags,
// check its commands with [Page.Commands].
//
// It reads the Markdown that the project writes: ATX headings, fenced blocks, inline links and code
// spans. CONTRIBUTING.md has the rules for pages.
package docscheck
