package kubernetes

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
)

const (
	// maxAnnotation is how large a part of a message may be, in bytes, to stand in
	// an annotation.
	maxAnnotation = 4 << 10
	// maxSecret is what a Secret holds, in bytes (corev1.MaxSecretSize).
	maxSecret = corev1.MaxSecretSize
)

// Keys of the Secret's data.
const (
	keyBody          = "body"
	keyPayload       = "payload"         // where it is not the body
	keyOwnAttributes = "own-attributes"  // the message's
	keyAttributes    = "attributes.json" // what the attributes file holds
)

func envKey(name string) string { return "env." + name }

// parts are a message's parts, each in the Secret or in its annotation.
type parts struct {
	samePayload   bool
	ownAttributes string         // JSON, empty when there are none
	attributes    string         // JSON
	secret        *corev1.Secret // nil: everything is small
}

func (p *parts) has(key string) bool {
	if p.secret == nil {
		return false
	}
	_, ok := p.secret.Data[key]
	return ok
}

func (p *parts) bodyInSecret() bool { return p.has(keyBody) }

func (p *parts) payloadKey() string {
	if p.samePayload {
		return keyBody
	}
	return keyPayload
}

// partsOf decides where the parts of a message go. What fits into no Secret is
// *executor.InvalidError; of an Invalid record the end of the body is cut off.
func partsOf(namespace string, owner *metav1.OwnerReference, job *executor.Job) (*parts, error) {
	p := &parts{samePayload: job.Payload == job.Message.Body}
	var err error
	if len(job.Message.Attributes) > 0 {
		if p.ownAttributes, err = encode(job.Message.Attributes); err != nil {
			return nil, err
		}
	}
	p.attributes = "{}"
	if len(job.Attributes) > 0 {
		if p.attributes, err = encode(job.Attributes); err != nil {
			return nil, err
		}
	}
	data := map[string][]byte{}
	part := func(key, value string, confidential bool) {
		if confidential || len(value) > maxAnnotation || !utf8.ValidString(value) {
			data[key] = []byte(value)
		}
	}
	runs, secret := job.Invalid == nil, job.Confidential
	part(keyBody, job.Message.Body, secret)
	part(keyOwnAttributes, p.ownAttributes, secret && p.ownAttributes != "")
	if runs {
		if !p.samePayload {
			part(keyPayload, job.Payload, secret)
		}
		part(keyAttributes, p.attributes, secret && len(job.Attributes) > 0)
		for i := range job.Env {
			part(envKey(job.Env[i].Name), job.Env[i].Value, secret)
			if !secret {
				delete(data, envKey(job.Env[i].Name)) // the environment is bounded as a whole
			}
		}
	}
	if len(data) == 0 {
		return p, nil
	}
	size := 0
	for _, value := range data {
		size += len(value)
	}
	if size > maxSecret {
		if runs {
			return nil, &executor.InvalidError{Cause: reason.Cause{Reason: reason.Rejected, Detail: fmt.Sprintf(
				"the message takes %d bytes with its attributes, a Kubernetes Secret holds %d: send a reference to the data instead", size, maxSecret)}}
		}
		delete(data, keyOwnAttributes)
		data[keyBody] = data[keyBody][:min(len(data[keyBody]), maxSecret)]
		p.ownAttributes = ""
	}
	p.secret, err = secretOf(namespace, owner, job, data)
	return p, err
}

func encode(attributes map[string]message.Attribute) (string, error) {
	text, err := json.Marshal(attributes)
	if err != nil {
		return "", fmt.Errorf("encode attributes: %w", err)
	}
	return string(text), nil
}

// secretOf is the Secret of a message: the same message under the same manifest
// finds the same one.
func secretOf(namespace string, owner *metav1.OwnerReference, job *executor.Job, data map[string][]byte) (*corev1.Secret, error) {
	name, err := secretName(job)
	if err != nil {
		return nil, err
	}
	immutable := true
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{LabelQueueJob: job.QueueJob, LabelRecord: job.Name},
		},
		Immutable: &immutable, Type: corev1.SecretTypeOpaque, Data: maps.Clone(data),
	}
	if owner != nil {
		s.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return s, nil
}

var nameEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// secretName is the record's name and a hash of what decides about the content:
// the message's ID, and how the manifest reads messages (a Secret can't be
// changed, and a retry may follow an edited manifest). It is no hash of the
// content, of which a name would tell too much.
func secretName(job *executor.Job) (string, error) {
	reading := []byte("null")
	if job.Spec != nil {
		var err error
		if reading, err = json.Marshal(job.Spec.Message); err != nil {
			return "", fmt.Errorf("name the Secret of job %s: %w", job.Name, err)
		}
	}
	h := sha256.New()
	invalid := byte(0)
	if job.Invalid != nil {
		invalid = 1
	}
	for _, part := range [][]byte{[]byte(job.Message.ID), reading, {invalid}} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	return job.Name + "-" + nameEncoding.EncodeToString(h.Sum(nil)[:10]), nil
}
