// Command generate writes the files of deploy/kubernetes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/queuemill/queuemill/internal/install"
)

func main() {
	out := flag.String("out", "deploy/kubernetes", "`folder` to write to")
	crds := flag.String("crds", "", "`folder` with the CRDs (default OUT/crds)")
	image := flag.String("image", install.DefaultImage, "`reference` of the image")
	flag.Parse()
	if *crds == "" {
		*crds = filepath.Join(*out, "crds")
	}
	if err := generate(*out, *crds, *image); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(out, crds, image string) error {
	definitions, err := install.CRDs(crds)
	if err != nil {
		return err
	}
	files, err := install.Files(image, definitions...)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
