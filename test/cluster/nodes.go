package cluster

import (
	"context"
	"errors"
)

var errNoNodes = errors.New("start nodes: this tree has a control plane alone; set Options.Nodes to 0")

func (c *Cluster) startNodes(context.Context) error { return errNoNodes }

func (c *Cluster) stopNodes() error { return nil }
