package stalltest

import "slices"

// A Case is one fault, or one event during a load.
type Case struct {
	Name  string // for WithCases, such as "hang-deadline"
	Group string // the cases with something in common, such as "The load hangs"
	Title string // in a table, short
	What  string // what happens
	Want  string // what the subject must do to pass

	setup Setup // what Subject.New gets in addition to the load functions
	// lacks returns what the subject has not, if the case needs it.
	lacks func(Subject, Cache) string
	// run reports false if the load did not begin.
	run func(*trial) bool
}

// Cases returns all cases, those of a group beside each other.
func Cases() []Case {
	return slices.Concat(dying(), hanging(), leaving(), nested(), writing(), batches(), aging(),
		notifying(), keys())
}

// find returns the case with that name, or nil.
func find(name string) *Case {
	all := Cases()
	at := slices.IndexFunc(all, func(c Case) bool { return c.Name == name })
	if at < 0 {
		return nil
	}
	return &all[at]
}

// group sets the group of the cases, and what they need.
func group(name string, lacks func(Subject, Cache) string, cases ...Case) []Case {
	for i := range cases {
		cases[i].Group = name
		if cases[i].lacks == nil {
			cases[i].lacks = lacks
		}
	}
	return cases
}

func nothingMore(Subject, Cache) string { return "" }

func needsDelete(_ Subject, c Cache) string {
	if c.Delete == nil {
		return "Delete"
	}
	return ""
}

func needsSet(_ Subject, c Cache) string {
	if c.Set == nil {
		return "Set"
	}
	return ""
}
