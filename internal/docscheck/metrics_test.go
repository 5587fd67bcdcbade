package docscheck_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheprom"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/clusterprom"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/docscheck"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/registryprom"
)

const operations = "docs/operations.md"

// exported returns the labels of each metric that the collectors export, by the metric's name: the
// values by the label's name.
func exported(t *testing.T) map[string]map[string][]string {
	t.Helper()
	all := prometheus.NewPedanticRegistry()
	local, err := cache.New(cache.Options[string, int]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, local.Close()) }()
	all.MustRegister(
		cacheprom.New("c", local),
		clusterprom.New("c", node{local.Inspect()}),
		registryprom.New(func() registry.Stats {
			return registry.Stats{Partitions: make([]registry.PartitionStats, 1)}
		}),
	)
	families, err := all.Gather()
	require.NoError(t, err)
	metrics := make(map[string]map[string][]string)
	for _, f := range families {
		labels := make(map[string][]string)
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		metrics[f.GetName()] = labels
	}
	require.Greater(t, len(metrics), 80)
	return metrics
}

// A node is a cluster cache with another node.
type node struct{ courier.Inspector }

func (n node) Inspect() courier.Inspector { return n.Inspector }

func (node) Stats() cluster.Stats {
	return cluster.Stats{Peers: []cluster.PeerStats{{Node: "n"}}}
}

func read(t *testing.T, path string) (p *docscheck.Page, text string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	require.NoError(t, err)
	return docscheck.Parse(path, string(content)), string(content)
}

var (
	section   = regexp.MustCompile(`^### (snowfence_\w+_)(?: \(label .*\))?$`)
	firstCell = regexp.MustCompile(`^\| (.*?) \| `)
	parens    = regexp.MustCompile(`\(([^)]*)\)`)
	span      = regexp.MustCompile("`([a-z_]+)`")
	// a series of a classic histogram
	ofHistogram = regexp.MustCompile(`^(.*_duration_seconds)_(?:bucket|count|sum)$`)
	metricName  = regexp.MustCompile(`\bsnowfence_[a-z_]*[a-z]\b`)
)

// The tables list each exported metric once, with its labels.
func TestMetricsOfOperations(t *testing.T) {
	metrics := exported(t)
	_, text := read(t, operations)
	named := make(map[string]bool)
	prefix := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			prefix = ""
			if m := section.FindStringSubmatch(line); m != nil {
				prefix = m[1]
			}
		}
		cell := firstCell.FindStringSubmatch(line)
		if prefix == "" || cell == nil {
			continue
		}
		var labels []string
		for _, m := range parens.FindAllStringSubmatch(cell[1], -1) {
			for _, l := range span.FindAllStringSubmatch(m[1], -1) {
				labels = append(labels, l[1])
			}
		}
		labelled := make(map[string]bool)
		for _, m := range span.FindAllStringSubmatch(parens.ReplaceAllString(cell[1], ""), -1) {
			name := prefix + m[1]
			assert.NotNil(t, metrics[name], "%s names %s, which is not exported", operations, name)
			assert.False(t, named[name], "%s is named twice", name)
			named[name] = true
			for label := range metrics[name] {
				labelled[label] = true
				assert.True(t, label == "cache" || slices.Contains(labels, label), "%s has a label %s", name,
					label)
			}
		}
		for _, l := range labels {
			assert.True(t, labelled[l], "none in this row has a label %s: %s", l, line)
		}
	}
	for name := range metrics {
		assert.True(t, named[name], "%s does not name %s", operations, name)
	}
}

// A metric whose full name is in a page or in the doc of a collector is exported.
func TestMetricsOfAllPages(t *testing.T) {
	metrics := exported(t)
	texts := make(map[string]string)
	for _, p := range pages(t) {
		_, texts[p.Path] = read(t, p.Path)
	}
	for _, path := range []string{
		"cache/cacheprom/cacheprom.go", "cache/cluster/clusterprom/clusterprom.go",
		"registry/registryprom/registryprom.go",
	} {
		_, texts[path] = read(t, path)
	}
	count := 0
	for path, text := range texts {
		for _, at := range metricName.FindAllStringIndex(text, -1) {
			if strings.HasPrefix(text[at[1]:], "_") { // a prefix of names
				continue
			}
			count++
			name := ofHistogram.ReplaceAllString(text[at[0]:at[1]], "$1")
			assert.NotNil(t, metrics[name], "%s names %s, which is not exported", path, name)
		}
	}
	require.Greater(t, count, 20)
}

type alert struct {
	Alert, Expr, For string
	Annotations      map[string]string
}

// alerts returns the alerting rules of the page.
func alerts(t *testing.T) (rules []alert) {
	t.Helper()
	p, _ := read(t, operations)
	for _, b := range p.Blocks {
		if b.Info != "yaml" || !strings.Contains(b.Text, "- alert:") {
			continue
		}
		var file struct {
			Groups []struct {
				Name  string
				Rules []alert
			}
		}
		require.NoError(t, yaml.Unmarshal([]byte(b.Text), &file))
		for _, g := range file.Groups {
			require.NotEmpty(t, g.Name)
			rules = append(rules, g.Rules...)
		}
	}
	require.Greater(t, len(rules), 15)
	return rules
}

var (
	selector = regexp.MustCompile(`(snowfence_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"`)
	summary  = regexp.MustCompile(`\$labels\.(\w+)`)
)

// The metrics and labels of each alert are exported: an alert on one that does not exist never
// fires.
func TestAlertsOfOperations(t *testing.T) {
	metrics := exported(t)
	seen := make(map[string]bool)
	used := make(map[string][]string) // alerts by metric
	for _, rule := range alerts(t) {
		require.NotEmpty(t, rule.Alert)
		assert.False(t, seen[rule.Alert], "%s is there twice", rule.Alert)
		seen[rule.Alert] = true
		assert.Equal(t, strings.Count(rule.Expr, "("), strings.Count(rule.Expr, ")"), rule.Alert)
		assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		known := map[string]bool{"instance": true, "job": true}
		selectors := selector.FindAllStringSubmatch(rule.Expr, -1)
		require.NotEmpty(t, selectors, "%s looks at no metric", rule.Alert)
		for _, s := range selectors {
			labels, ok := metrics[s[1]]
			if !assert.True(t, ok, "%s looks at %s", rule.Alert, s[1]) {
				continue
			}
			used[s[1]] = append(used[s[1]], rule.Alert)
			for l := range labels {
				known[l] = true
			}
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				require.Equal(t, "=", m[2], "%s: say here how to check %s", rule.Alert, m[0])
				assert.Contains(t, labels[m[1]], m[3], "%s: %s", rule.Alert, s[0])
			}
		}
		for _, text := range rule.Annotations {
			for _, m := range summary.FindAllStringSubmatch(text, -1) {
				assert.True(t, known[m[1]], "%s speaks of the label %s", rule.Alert, m[1])
			}
		}
	}
	// The metrics by which known failures show.
	for _, name := range []string{
		"queue_depth", "queue_age_seconds", "callers_waiting", "heap_bytes", "syncing",
		"resyncs_total", "conflicts_total", "nodes_lost", "rejoin_attempts_total", "members",
		"silent_holders_total", "disagreements_total", "clock_ahead_seconds",
	} {
		assert.NotEmpty(t, used["snowfence_registry_"+name], "no alert looks at %s", name)
	}
}
