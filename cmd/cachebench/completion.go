package main

import "github.com/spf13/cobra"

// Shell completion of the values of flags. A flag that does not exist is a
// mistake in the command, so these panic.

// keyLaws are the laws that --keys is completed with.
var keyLaws = []string{"zipf:1.01", "uniform", "scan", "zipf-scan:1.01"}

func completeValues(cmd *cobra.Command, flag string, values ...string) {
	mustComplete(cmd.RegisterFlagCompletionFunc(flag,
		cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

func completeFile(cmd *cobra.Command, flag string, extensions ...string) {
	mustComplete(cmd.MarkFlagFilename(flag, extensions...))
}

// completeOut is for --out.
func completeOut(cmd *cobra.Command) { mustComplete(cmd.MarkFlagDirname("out")) }

// completeScenario is for --scenario.
func completeScenario(cmd *cobra.Command) { completeFile(cmd, "scenario", "yaml", "yml", "json") }

func mustComplete(err error) {
	if err != nil {
		panic(err)
	}
}
