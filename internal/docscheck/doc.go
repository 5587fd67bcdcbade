// Package docscheck checks that the project's Markdown pages still hold: that links and anchors
// lead somewhere, that commands exist, that Go blocks compile, and that lines fit 100 columns.
//
// [Load] reads the pages. [Page.Columns], [Links], [MakeTargets] and [GoTool] check what needs
// nothing but the checkout, and [GoBlocks] runs the go command. Commands of cachebench are
// checked by its own tests, which have its flags; they get them from [Page.Commands].
//
// It reads the Markdown that the project writes: ATX headings, fenced blocks, inline links
// and code spans. CONTRIBUTING.md says what that asks of a page.
package docscheck
