package manifest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// maxFile is how large a file of manifests may be, in bytes.
const maxFile = 10 << 20

// Stdin is the path that stands for the standard input.
const Stdin = "-"

// Object is one manifest, its defaults set, validated: exactly one of QueueJob
// and WorkerPool.
type Object struct {
	QueueJob   *v1alpha1.QueueJob
	WorkerPool *v1alpha1.WorkerPool
	File       string
	Line       int // its first
}

// Load reads files, folders (their .yaml, .yml and .json files, not those of
// folders within) and, for "-", the standard input. A relative workingDir
// becomes absolute, from the manifest's folder. The error joins an *Error for
// each thing that is wrong; objects are returned only when nothing is.
func Load(paths ...string) ([]Object, []Warning, error) {
	var all result
	for _, path := range paths {
		files, err := expand(path)
		if err != nil {
			all.errs = append(all.errs, err)
			continue
		}
		for _, file := range files {
			data, err := read(file)
			if err != nil {
				all.errs = append(all.errs, err)
				continue
			}
			before := len(all.objects)
			all.parse(display(file), data)
			for _, o := range all.objects[before:] {
				anchor(&o, file)
			}
		}
	}
	return all.finish()
}

// Parse reads the manifests of one file's content. See Load.
func Parse(name string, data []byte) ([]Object, []Warning, error) {
	var all result
	all.parse(name, data)
	return all.finish()
}

func display(file string) string {
	if file == Stdin {
		return "<stdin>"
	}
	return file
}

// expand is the files that a path stands for.
func expand(path string) ([]string, *Error) {
	if path == Stdin {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	var files []string
	for _, entry := range entries { // in the order of their names
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name())) && !entry.IsDir() {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, &Error{File: path, Msg: "is a folder without .yaml, .yml or .json files"}
	}
	return files, nil
}

func read(file string) ([]byte, *Error) {
	in := os.Stdin
	if file != Stdin {
		var err error
		if in, err = os.Open(file); err != nil {
			return nil, fileError(file, err)
		}
		defer in.Close()
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fileError(display(file), err)
	}
	if len(data) > maxFile {
		return nil, &Error{File: display(file), Msg: "is larger than 10 MiB, too large for a manifest"}
	}
	return data, nil
}

// fileError is the system's error without the path, which stands before it.
func fileError(file string, err error) *Error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &Error{File: file, Msg: err.Error()}
}

// anchor makes workingDir absolute.
func anchor(o *Object, file string) {
	var dir *string
	switch {
	case o.QueueJob != nil && o.QueueJob.Spec.Process != nil:
		dir = &o.QueueJob.Spec.Process.WorkingDir
	case o.WorkerPool != nil && o.WorkerPool.Spec.Process != nil:
		dir = &o.WorkerPool.Spec.Process.WorkingDir
	}
	if dir == nil || *dir == "" || filepath.IsAbs(*dir) {
		return
	}
	folder := "."
	if file != Stdin {
		folder = filepath.Dir(file)
	}
	if absolute, err := filepath.Abs(filepath.Join(folder, *dir)); err == nil {
		*dir = absolute
	}
}

// result gathers what several files hold.
type result struct {
	objects  []Object
	warnings []Warning
	errs     []*Error
}

func (r *result) finish() ([]Object, []Warning, error) {
	if err := join(r.errs); err != nil {
		return nil, r.warnings, err
	}
	return r.objects, r.warnings, nil
}

func (r *result) parse(file string, data []byte) {
	docs, errs := split(file, data)
	r.errs = append(r.errs, errs...)
	for _, doc := range docs {
		r.document(file, doc)
	}
}
