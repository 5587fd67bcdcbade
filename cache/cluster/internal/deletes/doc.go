// Package deletes is the log of the deletes of a cache that a cluster shares: which there are, and which were applied where.
package deletes
