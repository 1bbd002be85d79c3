package image

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// annotations name the index in a layout: the tag for tools that follow OCI, the
// full reference for containerd, which takes an import's name from it.
func annotations(reference string) (map[string]string, error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return nil, err
	}
	full := tag.Name()
	if tag.RegistryStr() == name.DefaultRegistry {
		full = "docker.io/" + tag.RepositoryStr() + ":" + tag.TagStr()
	}
	return map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          full,
	}, nil
}

// Push sends the layout's one index to a registry as reference, with the
// credentials that `docker login` or a credential helper left for it, and
// returns the reference by digest. A registry on loopback is spoken to in the
// clear.
func Push(ctx context.Context, folder, reference string) (string, error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", fmt.Errorf("%w; a reference looks like registry.example/team/queuemill:v1", err)
	}
	index, err := read(folder)
	if err != nil {
		return "", fmt.Errorf("read %s: %w; `make image` writes it", folder, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	if err := remote.WriteIndex(tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", fmt.Errorf("push %s: %w", tag, err)
	}
	return tag.Name() + "@" + digest.String(), nil
}

func read(folder string) (v1.ImageIndex, error) {
	path, err := layout.FromPath(folder)
	if err != nil {
		return nil, err
	}
	root, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("it has %d images instead of one", len(manifest.Manifests))
	}
	return root.ImageIndex(manifest.Manifests[0].Digest)
}
