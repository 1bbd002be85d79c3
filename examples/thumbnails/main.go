// Command thumbnail writes three JPEGs of one picture, 150, 800 and 1920 pixels
// on the longer side, into a folder named after it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // decoders of what image.Decode is to read
	"image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"

	"golang.org/x/image/draw"
)

// sizes are pixels on the longer side.
var sizes = []int{150, 800, 1920}

func main() {
	out := flag.String("o", "out", "`folder` that gets a folder for each picture")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: thumbnail [-o FOLDER] PICTURE")
		os.Exit(2)
	}
	if err := thumbnails(flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "thumbnail:", err)
		os.Exit(1)
	}
}

// thumbnails writes out/<base name of path>/<size>.jpg for each size and
// prints what it wrote.
func thumbnails(path, out string) error {
	picture, err := decode(path)
	if err != nil {
		return err
	}
	folder := filepath.Join(out, filepath.Base(path))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, size := range sizes {
		target := filepath.Join(folder, fmt.Sprintf("%d.jpg", size))
		small := scale(picture, size)
		if err := write(target, small); err != nil {
			return err
		}
		fmt.Printf("%s %dx%d\n", target, small.Bounds().Dx(), small.Bounds().Dy())
	}
	return nil
}

func decode(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	picture, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	return picture, nil
}

// scale fits picture into a square of size pixels, up or down, on white.
func scale(picture image.Image, size int) image.Image {
	width, height := picture.Bounds().Dx(), picture.Bounds().Dy()
	longer := max(width, height)
	bounds := image.Rect(0, 0, max(1, width*size/longer), max(1, height*size/longer))
	scaled := image.NewRGBA(bounds)
	draw.Draw(scaled, bounds, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(scaled, bounds, picture, picture.Bounds(), draw.Over, nil)
	return scaled
}

// write puts the file in place whole: a job that is ended half-way and run
// again leaves no half picture behind.
func write(path string, picture image.Image) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".thumbnail-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(jpeg.Encode(f, picture, &jpeg.Options{Quality: 85}), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
