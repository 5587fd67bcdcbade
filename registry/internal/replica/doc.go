// Package replica is the registry's protocol: the pure core, one [Partition] per node and partition.
package replica
