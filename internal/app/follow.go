package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/queuemill/queuemill/internal/manifest"
)

// loadManifests reads files, none when there are no paths. What only a cluster
// can run is an error.
func loadManifests(paths []string) ([]manifest.Object, []manifest.Warning, error) {
	if len(paths) == 0 {
		return nil, nil, nil
	}
	objects, warnings, err := manifest.Load(paths...)
	if err == nil {
		err = forThisMachine(objects)
	}
	if err != nil {
		return nil, warnings, err
	}
	return objects, warnings, nil
}

// forThisMachine says which manifests this machine can't run: it has no
// Kubernetes, and no namespaces to tell two of a name apart.
func forThisMachine(objects []manifest.Object) error {
	var errs []error
	names := map[[2]string]manifest.Object{}
	wrong := func(o *manifest.Object, field, msg, hint string) {
		errs = append(errs, &manifest.Error{File: o.File, Line: o.Line, Field: field, Msg: msg, Hint: hint})
	}
	for i := range objects {
		o := &objects[i]
		switch {
		case o.WorkerPool != nil && o.WorkerPool.Spec.ScaleTargetRef != nil:
			wrong(o, "spec.scaleTargetRef", "needs a cluster; workers on this machine are processes", "say what runs here in spec.process, in a manifest of its own")
		case o.WorkerPool != nil && o.WorkerPool.Spec.Process == nil:
			wrong(o, "spec.kubernetes", "needs a cluster; workers on this machine are processes", "say what runs here in spec.process, in a manifest of its own")
		case o.QueueJob != nil && o.QueueJob.Spec.Process == nil:
			wrong(o, "spec.kubernetes", "needs a cluster; jobs on this machine are processes", "say what runs here in spec.process, in a manifest of its own")
		}
		name := [2]string{o.Kind(), o.Name()}
		if first, there := names[name]; there {
			wrong(o, "metadata.name", fmt.Sprintf("there is a %s %s already, at %s:%d, and on one machine namespaces don't tell them apart", name[0], name[1], first.File, first.Line), "")
		}
		names[name] = *o
	}
	return errors.Join(errs...)
}

// settle is how long files must be quiet before they are read again: editors
// write in several steps.
const settle = 200 * time.Millisecond

// follow reads the manifests again when they are edited or Reload asks for it,
// until ctx ends. What is wrong is logged, and the old one holds.
func (m *mill) follow(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		m.log.Warn("edits of manifests are not seen; SIGHUP reads them again", "error", err)
		watcher = &fsnotify.Watcher{} // its channels are nil: nothing comes
	} else {
		defer func() { _ = watcher.Close() }()
	}
	watched := watchPaths(m.o.Files)
	for folder := range watched {
		if err := watcher.Add(folder); err != nil {
			m.log.Warn("edits of manifests are not seen; SIGHUP reads them again", "folder", folder, "error", err)
		}
	}
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-watcher.Events:
			if watched.concerns(e.Name) && !e.Op.Has(fsnotify.Chmod) {
				quiet.Reset(settle)
			}
		case err := <-watcher.Errors:
			m.log.Warn("an edit of a manifest may have been missed; SIGHUP reads them again", "error", err)
		case <-m.o.Reload:
			m.reload()
		case <-quiet.C:
			m.reload()
		}
	}
}

func (m *mill) reload() {
	if m.draining.Load() {
		return
	}
	if slices.Contains(m.o.Files, manifest.Stdin) {
		m.log.Warn("manifests that came from stdin can't be read again; what was read before holds")
		return
	}
	objects, warnings, err := m.load()
	if err != nil {
		m.log.Error("the manifests can't be read; what was read before holds", "error", err)
		return
	}
	for _, w := range warnings {
		m.log.Warn("manifest: " + w.String())
	}
	if err := m.apply(objects); err != nil {
		m.log.Error("a manifest can't be followed; what was before holds", "error", err)
		return
	}
	m.log.Info("manifests read", "files", strings.Join(m.o.Files, " "), "objects", fmt.Sprint(len(objects)))
}

// watchedPaths are folders and, in each, the names that matter; none: all
// manifests. Folders are watched since editors replace files.
type watchedPaths map[string]map[string]bool

func watchPaths(paths []string) watchedPaths {
	w := watchedPaths{}
	for _, path := range paths {
		if path == manifest.Stdin {
			continue
		}
		path = filepath.Clean(path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			w[path] = nil
			continue
		}
		folder := filepath.Dir(path)
		names, known := w[folder]
		if known && names == nil {
			continue
		}
		if !known {
			names = map[string]bool{}
			w[folder] = names
		}
		names[filepath.Base(path)] = true
	}
	return w
}

func (w watchedPaths) concerns(name string) bool {
	names, known := w[filepath.Dir(name)]
	if !known {
		return false
	}
	if names != nil {
		return names[filepath.Base(name)]
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
