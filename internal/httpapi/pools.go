package httpapi

import (
	"context"
	"net/http"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
)

// OfManifest is the part of a WorkerPool's view that its manifest, with its
// defaults, gives.
func OfManifest(wp *v1alpha1.WorkerPool) WorkerPool {
	s := &wp.Spec
	v := WorkerPool{
		Name: wp.Name, Namespace: wp.Namespace, MinWorkers: s.MinWorkers, MaxWorkers: s.MaxWorkers, Suspended: s.Suspend, RunsOn: "process",
	}
	switch {
	case s.Kubernetes != nil:
		v.RunsOn = "kubernetes"
	case s.ScaleTargetRef != nil:
		v.RunsOn = "scaleTargetRef"
	}
	if d := s.Worker.Visibility; d != nil {
		v.VisibilitySeconds = d.Seconds()
	}
	if d := s.Worker.Timeout; d != nil {
		v.TimeoutSeconds = d.Seconds()
	}
	return v
}

// pools are all WorkerPools by name; never nil without an error.
func (s *Server) pools(ctx context.Context) ([]WorkerPool, error) {
	all := []WorkerPool{}
	if s.backend.Pools == nil {
		return all, nil
	}
	found, err := s.backend.Pools.ListPools(ctx)
	return append(all, found...), err
}

// status is everything at a glance.
func (s *Server) status(ctx context.Context) (Status, error) {
	status, err := s.backend.Controller.Status(ctx)
	if err != nil || status.WorkerPools != nil {
		return status, err
	}
	status.WorkerPools, err = s.pools(ctx)
	return status, err
}

// noPool makes of a not-found error one that says what was probably meant; other
// errors stay as they are.
func (s *Server) noPool(r *http.Request, err error, name string) error {
	hint := "queuemill status lists them"
	if all, err := s.pools(r.Context()); err == nil {
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Name
		}
		hint = didYouMean(name, names, hint)
	}
	return notFoundAs(err, "WorkerPool", name, hint)
}

func (s *Server) listPools(w http.ResponseWriter, r *http.Request) error {
	all, err := s.pools(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, WorkerPoolList{WorkerPools: all})
}

func (s *Server) getPool(w http.ResponseWriter, r *http.Request) error {
	all, err := s.pools(r.Context())
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].Name == r.PathValue("name") {
			return writeJSON(w, http.StatusOK, all[i])
		}
	}
	return s.noPool(r, executor.ErrNotFound, r.PathValue("name"))
}

func (s *Server) suspendPool(suspend bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := readJSON(r, &struct{}{}); err != nil {
			return err
		}
		name, err := r.PathValue("name"), executor.ErrNotFound
		if s.backend.Pools != nil {
			err = s.backend.Pools.SuspendPool(r.Context(), name, suspend)
		}
		if err != nil {
			return s.noPool(r, err, name)
		}
		return s.getPool(w, r)
	}
}
