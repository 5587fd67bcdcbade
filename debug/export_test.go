package debug

// HashOf is the hash by which the page's policy allows a script.
var HashOf = hashOf
