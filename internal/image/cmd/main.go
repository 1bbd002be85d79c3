// Command cmd builds the image and sends it to a registry: `make image` and
// `make image-push` call it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	var (
		folder  = flags.String("layout", "dist/image", "`folder` of the OCI layout")
		push    = flags.String("push", "", "send the layout to this `reference` instead of building it")
		named   = flags.String("name", "queuemill/queuemill:dev", "`reference` that an import of the layout gets")
		created = flags.Int64("created", 0, "`seconds` since 1970 of the commit")
		o       image.Options
	)
	flags.StringVar(&o.Version, "version", "dev", "`version`")
	flags.StringVar(&o.Revision, "revision", "", "`commit`")
	flags.StringVar(&o.Source, "source", "", "`address` of the repository")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: image [flags] ARCH=PROGRAM...\n       image [-layout FOLDER] -push REFERENCE")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *push != "" {
		pushed, err := image.Push(ctx, *folder, *push)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, pushed)
		return nil
	}

	var binaries []image.Binary
	for _, arg := range flags.Args() {
		arch, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not ARCH=PROGRAM", arg)
		}
		binaries = append(binaries, image.Binary{Arch: arch, Path: path})
	}
	if len(binaries) == 0 {
		return fmt.Errorf("no programs; give each as ARCH=PROGRAM")
	}
	o.Created = time.Unix(*created, 0)
	index, err := image.Build(o, binaries...)
	if err != nil {
		return err
	}
	if err := image.Write(*folder, *named, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s %s\n", *folder, *named, digest)
	return nil
}
