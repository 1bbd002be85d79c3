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
