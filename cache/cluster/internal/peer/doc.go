// Package peer is how the nodes of a cluster ask each other, over net/http.
package peer
