package v1alpha1

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// TemplateHash tells templates apart: 16 hexadecimal digits of what says how
// the job runs (process or kubernetes), and of nothing else. Comments, the
// order of keys and the other fields of the manifest do not count. Call it
// after SetDefaults, so that a default written out is no other template.
func TemplateHash(spec *QueueJobSpec) string {
	template := map[string]any{}
	if spec.Process != nil {
		template["process"] = spec.Process
	}
	if spec.Kubernetes != nil {
		template["kubernetes"] = sorted(spec.Kubernetes.JobTemplate.Raw)
	}
	return hashOf(template)
}

// WorkerTemplateHash tells workers apart: 16 hexadecimal digits of what makes a
// worker another one (queue, worker, message, process or kubernetes), and of
// nothing else: their number and how it is found don't count. Call it after
// SetDefaults, as TemplateHash.
func WorkerTemplateHash(spec *WorkerPoolSpec) string {
	text, err := json.Marshal(map[string]any{
		"queue": spec.Queue, "worker": spec.Worker, "message": spec.Message, "process": spec.Process, "kubernetes": spec.Kubernetes,
	})
	if err != nil { // a template or schema that is no JSON: it came out of a manifest that was read
		panic("hash of a worker's template: " + err.Error())
	}
	return hashOf(sorted(text))
}

func hashOf(template any) string {
	text, err := json.Marshal(template)
	if err != nil { // of strings, numbers and durations: can't be
		panic("hash of a template: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// sorted is JSON with its keys in order, as json.Marshal writes maps; what is
// not JSON is taken as it is.
func sorted(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(raw)
	}
	return v
}
