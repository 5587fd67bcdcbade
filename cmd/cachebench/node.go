package main

import (
	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/clusterload"
)

// nodeCommand is the name of the command that is a node's process.
const nodeCommand = "node"

// newNode is one node of "cachebench registry --processes". It is not for people.
func newNode() *cobra.Command {
	return &cobra.Command{
		Use:    nodeCommand,
		Short:  "One node of a cluster, driven by lines of JSON on standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// An interrupt goes to all processes of a terminal. The parent ends this one, when it has what
			// it needs, by the end of the input; so the context is left alone.
			return clusterload.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
