package cluster

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Busybox is the image that every cluster with nodes has: sh, ping, sleep, true
// and what else Debian's busybox-static can.
const Busybox = "queuemill.test/busybox:1"

const pauseImage = "queuemill.test/pause:1"

// An Image is a small image for a test: programs of this machine, static ones,
// and nothing else.
type Image struct {
	Name       string            // with a tag that is not latest: it is never pulled
	Files      map[string]string // path in the image -> file of this machine
	Links      map[string]string // path in the image -> what the link says
	Entrypoint []string
	Env        []string // "PATH=/bin"
}

// WriteTo writes the image to file as an archive that LoadImage takes.
func (i Image) WriteTo(file string) error {
	tag, err := name.NewTag(i.Name)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	content, err := i.layer()
	if err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint, config.Config.Env = i.Entrypoint, i.Env
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	return nil
}

// layer is the one layer, as a tar.
func (i Image) layer() ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	dirs := map[string]bool{"tmp": true}
	for _, files := range []map[string]string{i.Files, i.Links} {
		for p := range files {
			for d := path.Dir(strings.TrimPrefix(p, "/")); d != "."; d = path.Dir(d) {
				dirs[d] = true
			}
		}
	}
	for _, d := range sortedKeys(dirs) {
		mode := int64(0o755)
		if d == "tmp" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: mode}); err != nil {
			return nil, err
		}
	}
	for _, p := range sortedKeys(i.Files) {
		data, err := os.ReadFile(i.Files[p])
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(p, "/"), Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	for _, p := range sortedKeys(i.Links) {
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(p, "/"), Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: i.Links[p]}); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// BusyboxImage is Busybox under another name, with further files: the start of
// a test's own image.
func BusyboxImage(imageName string) (Image, error) {
	file, err := exec.LookPath("busybox")
	if err != nil {
		return Image{}, errors.New("there is no busybox: tools/test-packages installs it (Debian's busybox-static)")
	}
	applets, err := exec.Command(file, "--list").Output()
	if err != nil {
		return Image{}, fmt.Errorf("list what busybox can: %w", err)
	}
	img := Image{
		Name:  imageName,
		Files: map[string]string{"/bin/busybox": file},
		Links: map[string]string{},
		Env:   []string{"PATH=/bin"},
	}
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			img.Links["/bin/"+applet] = "busybox"
		}
	}
	return img, nil
}

// archiveOf writes the image for this machine's processor out of an OCI layout
// as an archive with its name. The name is what the layout's annotation says.
func archiveOf(dir, file string) error {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return fmt.Errorf("read OCI layout %s: %w", dir, err)
	}
	img, ref, err := pick(index, "")
	if err != nil {
		return fmt.Errorf("read OCI layout %s: %w", dir, err)
	}
	if img == nil {
		return fmt.Errorf("OCI layout %s has no image for linux/%s", dir, runtime.GOARCH)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("OCI layout %s names its image %q (annotation io.containerd.image.name or org.opencontainers.image.ref.name): %w", dir, ref, err)
	}
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		return fmt.Errorf("write image %s: %w", ref, err)
	}
	return nil
}

// pick is the image for this machine and its name, which an index above it may
// have. Nil when there is none.
func pick(index v1.ImageIndex, ref string) (v1.Image, string, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, "", err
	}
	for _, d := range manifest.Manifests {
		named := ref
		for _, key := range []string{"org.opencontainers.image.ref.name", "io.containerd.image.name"} {
			if v := d.Annotations[key]; v != "" {
				named = v
			}
		}
		if d.MediaType.IsIndex() {
			below, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, "", err
			}
			if img, found, err := pick(below, named); img != nil || err != nil {
				return img, found, err
			}
		} else if d.Platform == nil || d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH {
			img, err := index.Image(d.Digest)
			return img, named, err
		}
	}
	return nil, "", nil
}
