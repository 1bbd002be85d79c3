package manifest

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// laterFields are fields of later versions by their paths.
var laterFields = map[string]string{
	"spec.ecs":         "ecs is not supported by this version; it has process and kubernetes",
	"spec.queue.redis": "redis is not supported by this version; it has sqs",
}

// otherNames are what people call a field, by its name here.
var otherNames = map[string]string{
	"activeDeadlineSeconds": "timeout", "timeoutSeconds": "timeout", "deadline": "timeout",
	"backoffLimit": "retries", "retry": "retries", "maxRetries": "retries", "attempts": "retries",
	"terminationGracePeriodSeconds": "terminationGracePeriod", "gracePeriod": "terminationGracePeriod",
	"cwd": "workingDir", "workdir": "workingDir", "dir": "workingDir",
	"cmd": "command", "environment": "env", "concurrency": "maxActive", "parallelism": "maxActive",
	"queueURL": "url", "queueName": "name", "roleArn": "roleARN", "path": "fieldPath", "field": "fieldPath",
	"paused": "suspend", "template": "jobTemplate",

	// Of autoscalers, and of one kind in the other.
	"minReplicas": "minWorkers", "minReplicaCount": "minWorkers", "min": "minWorkers", "minCapacity": "minWorkers",
	"maxReplicas": "maxWorkers", "maxReplicaCount": "maxWorkers", "max": "maxWorkers", "maxCapacity": "maxWorkers",
	"maxActive": "maxWorkers", "replicas": "maxWorkers", "queueLength": "backlogPerWorker", "cooldown": "scaleInCooldown",
	"cooldownPeriod": "scaleInCooldown", "pollingInterval": "interval", "visibilityTimeout": "visibility",
}

// suggester finds what may have been meant by an unknown field.
type suggester struct {
	places map[string][]string // paths of each field's name
}

func newSuggester(root reflect.Type) *suggester {
	s := &suggester{places: map[string][]string{}}
	s.collect("", root)
	for _, paths := range s.places {
		slices.Sort(paths)
	}
	return s
}

func (s *suggester) collect(path string, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(unmarshalType) || path == "metadata" {
		return
	}
	for name, elem := range fieldsOf(t) {
		at := child(path, name, t)
		s.places[name] = append(s.places[name], at)
		if elem.Kind() == reflect.Slice && elem.Elem().Kind() == reflect.Struct {
			at += "[]"
		}
		s.collect(at, elem)
	}
}

// hint is what to do about the unknown field name of the struct t at path.
func (s *suggester) hint(path, name string, t reflect.Type) string {
	if later := laterFields[child(path, name, t)]; later != "" {
		return later
	}
	siblings := slices.Sorted(maps.Keys(fieldsOf(t)))
	if close := closest(name, siblings); close != "" {
		return "did you mean " + close + "?"
	}
	if other := otherNames[name]; slices.Contains(siblings, other) {
		return "did you mean " + other + "?"
	}
	for _, candidate := range []string{name, otherNames[name]} {
		if places := s.places[candidate]; len(places) > 0 {
			return "did you mean " + strings.Join(places, " or ") + "?"
		}
	}
	if path == "metadata" {
		return "known are name, namespace, labels and annotations"
	}
	return "known are " + strings.Join(siblings, ", ")
}

// closest is the candidate that differs from name by its case or by at most a
// third of its letters, "" when there is none.
func closest(name string, candidates []string) string {
	best, least := "", len(name)/3+1
	for _, candidate := range candidates {
		if strings.EqualFold(name, candidate) {
			return candidate
		}
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is how many letters must be added, dropped or changed (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
