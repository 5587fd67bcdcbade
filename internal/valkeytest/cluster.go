package valkeytest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const clusterSlots = 16_384

// A Cluster is several servers in cluster mode. Each is a primary without replicas and has an equal
// share of the slots.
type Cluster struct {
	Servers []*Server
}

// StartCluster starts a cluster of n servers and waits until each of them can serve. The caller
// must call Close.
func StartCluster(ctx context.Context, n int, o Options) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout)
	defer cancel()
	c := new(Cluster)
	for range n {
		s, err := start(ctx, o, true)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.Servers = append(c.Servers, s)
	}
	if err := c.join(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// join assigns the slots and makes the servers know each other.
func (c *Cluster) join(ctx context.Context) error {
	first, n := c.Servers[0], len(c.Servers)
	for i, s := range c.Servers {
		commands := [][]string{
			{"CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i + 1)},
			{"CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(clusterSlots * i / n),
				strconv.Itoa(clusterSlots*(i+1)/n - 1)},
			{"CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(first.port),
				strconv.Itoa(first.busPort)},
		}
		if i == 0 {
			commands = commands[:2]
		}
		for _, command := range commands {
			if _, err := s.Do(ctx, command...); err != nil {
				return err
			}
		}
	}
	for _, s := range c.Servers {
		for !s.knows(ctx, n) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("valkeytest: the servers are no cluster yet: %w", ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// knows reports whether the server can serve as one of a cluster of n.
func (s *Server) knows(ctx context.Context, n int) bool {
	reply, _ := s.Do(ctx, "CLUSTER", "INFO")
	info, _ := reply.(string)
	return strings.Contains(info, "cluster_state:ok") &&
		strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d\r", clusterSlots)) &&
		strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", n))
}

// Addrs returns host:port of each server.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		addrs[i] = s.Addr()
	}
	return addrs
}

// Close kills all servers and removes their directories.
func (c *Cluster) Close() error {
	var errs []error
	for _, s := range c.Servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
