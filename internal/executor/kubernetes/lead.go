package kubernetes

import "context"

// Lead gathers why Jobs failed, or can't start, until ctx ends. Only the leader
// does so.
func (c *Cluster) Lead(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
