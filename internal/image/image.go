// Package image puts the static binary into a container image, without a
// container engine: from scratch, for several platforms, as an OCI layout that
// it also sends to a registry.
//
// Its invariant: the same binaries and Options give the same digest, whoever
// builds, wherever and whenever. The image holds one file.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entrypoint is the one file of the image.
const entrypoint = "/queuemill"

// user is who the program runs as: nobody's number on any machine.
const user = "65532:65532"

// Binary is the program for one platform of Linux.
type Binary struct {
	Arch string // as Go names it: amd64, arm64
	Path string
}

// Options are what the image says of itself.
type Options struct {
	Version  string
	Revision string    // the commit; "": not told
	Created  time.Time // of the commit, since an image is as old as its source; zero: 1970
	Source   string    // the repository's address; "": not told
}

// Build makes one image for each binary and the index of them, in their order.
func Build(o Options, binaries ...Binary) (v1.ImageIndex, error) {
	if o.Created.IsZero() {
		o.Created = time.Unix(0, 0)
	}
	o.Created = o.Created.UTC()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, binary := range binaries {
		img, err := build(o, binary)
		if err != nil {
			return nil, fmt.Errorf("build image of %s: %w", binary.Path, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: binary.Arch}},
		})
	}
	annotated, ok := mutate.Annotations(index, o.labels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotate index: it is a %T", annotated)
	}
	return annotated, nil
}

func build(o Options, binary Binary) (v1.Image, error) {
	content, err := archive(binary.Path)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: binary.Arch, Created: v1.Time{Time: o.Created}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: user, Entrypoint: []string{entrypoint}, WorkingDir: "/", Labels: o.labels()},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: o.Created}, CreatedBy: "queuemill " + o.Version},
	})
}

// archive is a tar file with the program at path as entrypoint, and nothing in
// it that depends on when and where it was built.
func archive(path string) ([]byte, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err = w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: entrypoint[1:], Size: int64(len(program)), Mode: 0o555, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// labels are OCI's own words.
func (o Options) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       "queuemill",
		"org.opencontainers.image.description": "Queue messages in, finished jobs out.",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     o.Version,
		"org.opencontainers.image.created":     o.Created.Format(time.RFC3339),
	}
	for key, value := range map[string]string{"revision": o.Revision, "source": o.Source} {
		if value != "" {
			labels["org.opencontainers.image."+key] = value
		}
	}
	return labels
}

// Write makes folder an OCI layout with index in it under the reference name
// ("queuemill/queuemill:dev"), in place of what was there. Only an OCI layout
// is replaced.
func Write(folder, name string, index v1.ImageIndex) error {
	if _, err := layout.FromPath(folder); err == nil {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return fmt.Errorf("%w; it is no OCI layout, so it is left alone: remove it, or choose another folder", err)
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return fmt.Errorf("write %s: %w", folder, err)
	}
	names, err := annotations(name)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return fmt.Errorf("write %s: %w", folder, err)
	}
	return nil
}
