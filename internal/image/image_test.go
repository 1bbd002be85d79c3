package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var options = Options{Version: "v1.2.3", Revision: "0123abc", Created: time.Unix(1_700_000_000, 0)}

// programs are two files with different content, as old as now.
func programs(t *testing.T) []Binary {
	t.Helper()
	var list []Binary
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(t.TempDir(), "queuemill")
		if err := os.WriteFile(path, []byte("program for "+arch), 0o700); err != nil {
			t.Fatal(err)
		}
		list = append(list, Binary{Arch: arch, Path: path})
	}
	return list
}

func written(t *testing.T) (folder, digest string) {
	t.Helper()
	index, err := Build(options, programs(t)...)
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(t.TempDir(), "dist", "image")
	if err := Write(folder, "queuemill/queuemill:dev", index); err != nil {
		t.Fatal(err)
	}
	hash, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return folder, hash.String()
}

func TestSameInputsGiveTheSameDigest(t *testing.T) {
	t.Parallel()
	_, first := written(t)
	_, second := written(t) // other folders, other times of the files
	if first != second {
		t.Errorf("%s, then %s", first, second)
	}
}

func TestImageThatARegistryGivesBack(t *testing.T) {
	t.Parallel()
	folder, digest := written(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/team/queuemill:v1"
	pushed, err := Push(t.Context(), folder, reference)
	if err != nil {
		t.Fatal(err)
	}
	if pushed != reference+"@"+digest {
		t.Errorf("pushed %s, want %s@%s", pushed, reference, digest)
	}

	for _, arch := range []string{"amd64", "arm64"} {
		ref, err := name.ParseReference(pushed)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		want := v1.Config{User: "65532:65532", Entrypoint: []string{"/queuemill"}, WorkingDir: "/", Labels: map[string]string{
			"org.opencontainers.image.title":       "queuemill",
			"org.opencontainers.image.description": "Queue messages in, finished jobs out.",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     "v1.2.3",
			"org.opencontainers.image.revision":    "0123abc",
			"org.opencontainers.image.created":     "2023-11-14T22:13:20Z",
		}}
		if diff := cmp.Diff(want, config.Config); diff != "" || config.Architecture != arch || config.OS != "linux" {
			t.Errorf("%s/%s (-want +got):\n%s", config.OS, config.Architecture, diff)
		}
		if diff := cmp.Diff(map[string]string{"queuemill": "-r-xr-xr-x program for " + arch}, contents(t, img)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
}

// contents are all files of an image, with mode and text.
func contents(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		for r := tar.NewReader(content); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[header.Name] = header.FileInfo().Mode().String() + " " + string(text)
		}
	}
	return files
}

func TestLayoutIsReplacedAndNothingElse(t *testing.T) {
	t.Parallel()
	folder, _ := written(t)
	index, err := Build(options, programs(t)[:1]...)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, "queuemill/queuemill:dev", index); err != nil {
		t.Fatal(err)
	}
	found, err := read(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := found.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Errorf("%d platforms are left, want 1", len(manifest.Manifests))
	}

	kept := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Dir(kept), "queuemill/queuemill:dev", index); err == nil {
		t.Error("wrote over a folder that is no layout")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

func TestErrorsOfPushSayWhatToDo(t *testing.T) {
	t.Parallel()
	folder, _ := written(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Close()
	gone := strings.TrimPrefix(server.URL, "http://") + "/team/queuemill:v1"
	for _, c := range []struct{ folder, reference, want string }{
		{folder, "Not A Reference", "registry.example/team/queuemill:v1"},
		{t.TempDir(), gone, "`make image` writes it"},
		{folder, gone, "push " + gone},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := Push(ctx, c.folder, c.reference); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("push %s: %v, want %q in it", c.reference, err, c.want)
		}
		cancel()
	}
}

func TestImportIsNamedAsTheManifestsNameIt(t *testing.T) {
	t.Parallel()
	for reference, want := range map[string]string{
		"queuemill/queuemill:dev":      "docker.io/queuemill/queuemill:dev",
		"registry.example/team/q:v1":   "registry.example/team/q:v1",
		"registry.example:5000/team/q": "registry.example:5000/team/q:latest",
	} {
		names, err := annotations(reference)
		if err != nil {
			t.Fatal(err)
		}
		if got := names["io.containerd.image.name"]; got != want {
			t.Errorf("%s is imported as %s, want %s", reference, got, want)
		}
	}
}
