package v1alpha1

import (
	"fmt"
	"strconv"
	"strings"
)

// PathStep is one step of a field path: a key of an object, or, where Key is
// empty, an element of a list.
type PathStep struct {
	Key   string
	Index int
}

// ParseFieldPath reads a dotted path: "customer.name", "items[0].sku",
// "[1].id", and, for keys with dots or brackets in them, `labels["a.b"]`.
func ParseFieldPath(path string) ([]PathStep, error) {
	if path == "" {
		return nil, fmt.Errorf("is empty; a dotted path is expected, such as customer.name or items[0].sku")
	}
	var steps []PathStep
	for rest := path; rest != ""; {
		var step PathStep
		var err error
		switch {
		case rest[0] == '[':
			step, rest, err = bracketStep(rest)
		case rest[0] == '.' && len(steps) > 0:
			step, rest, err = keyStep(rest[1:])
		case len(steps) == 0:
			step, rest, err = keyStep(rest)
		default:
			err = fmt.Errorf("a dot or a bracket is expected before %q", rest)
		}
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", path, err)
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func keyStep(rest string) (PathStep, string, error) {
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	key := rest[:end]
	if key == "" {
		return PathStep{}, "", fmt.Errorf("a key is missing beside a dot")
	}
	if strings.ContainsAny(key, "]*\"' \t\r\n$") {
		return PathStep{}, "", fmt.Errorf(`key %q has a special character; write it as ["%s"]`, key, key)
	}
	return PathStep{Key: key}, rest[end:], nil
}

func bracketStep(rest string) (PathStep, string, error) {
	if strings.HasPrefix(rest, `["`) {
		key, after, ok := strings.Cut(rest[2:], `"]`)
		if !ok || key == "" {
			return PathStep{}, "", fmt.Errorf(`%q is not of the form ["key"]`, rest)
		}
		return PathStep{Key: key}, after, nil
	}
	number, after, ok := strings.Cut(rest[1:], "]")
	index, err := strconv.Atoi(number)
	if !ok || err != nil || index < 0 || number[0] == '+' {
		return PathStep{}, "", fmt.Errorf(`%q is not of the form [n], n from 0, or ["key"]`, rest)
	}
	return PathStep{Index: index}, after, nil
}
