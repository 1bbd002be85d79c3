package message

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// The names are frozen: a change here starts every message that is in flight at
// an upgrade a second time.
func TestNamesAreFrozen(t *testing.T) {
	for _, tc := range []struct{ namespace, queueJob, identity, name, hash, key string }{
		{"", "ping", "5fea7756-0ea4-451a-a703-a558b933e274", "ping-0kctsd84e15a4vgw", "04d9acb504704aa26e1c410638f1494fda692d5b", "da692d5b-cfa3-8308-864b-7f49e1bf1f98"},
		{"default", "ping", "5fea7756-0ea4-451a-a703-a558b933e274", "ping-p0jb86cybhs07anq", "b024b4199e5c7203aab73f1c1a7890ff9bff8e18", "9bff8e18-d038-8dce-be3e-d43695844170"},
		{"default", "thumbs", "5fea7756-0ea4-451a-a703-a558b933e274#1", "thumbs-2rkypejk9v680s3e", "1627eb3a534ecc80646e5a17c912c9b6d2b7037d", "d2b7037d-bdf5-83a3-af87-04def2355ddd"},
		{"default", "orders", "key:A-1001", "orders-vb9pmnha72h536q2", "dad36a562a38a2519ae2bf16182260e122fb6abe", "22fb6abe-b23f-81b7-9352-31fd894c0fe9"},
	} {
		name, hash := RecordName(tc.namespace, tc.queueJob, tc.identity)
		key := IdempotencyKey(tc.namespace, tc.queueJob, tc.identity)
		if name != tc.name || hash != tc.hash || key != tc.key {
			t.Errorf("%s/%s/%s:\ngot  %s %s %s\nwant %s %s %s", tc.namespace, tc.queueJob, tc.identity, name, hash, key, tc.name, tc.hash, tc.key)
		}
	}
}

func TestNamesFitKubernetes(t *testing.T) {
	name, hash := RecordName("default", strings.Repeat("q", 40), "id")
	for _, label := range []string{name, AttemptName(name, 99999), hash} {
		if bad := validation.IsDNS1123Label(label); len(bad) > 0 {
			t.Errorf("%s (%d characters): %v", label, len(label), bad)
		}
	}
}

func TestPartsOfAnIdentityDoNotRunTogether(t *testing.T) {
	a, _ := RecordName("team", "a", "b1")
	b, _ := RecordName("team", "ab", "1")
	c, _ := RecordName("teama", "", "b1")
	if a[2:] == b[3:] || a[2:] == c[1:] {
		t.Errorf("the same hash for different parts: %s %s %s", a, b, c)
	}
}

func TestAttemptName(t *testing.T) {
	for attempt, want := range map[int]string{0: "ping-x", 1: "ping-x", 2: "ping-x-2", 11: "ping-x-11"} {
		if got := AttemptName("ping-x", attempt); got != want {
			t.Errorf("attempt %d: got %s, want %s", attempt, got, want)
		}
	}
}

func TestTheWorkersOfAQueueAgreeOnTheKey(t *testing.T) {
	read := func(queue, pool string) Item {
		r, err := NewWorkerReader(queue, pool, &v1alpha1.MessageSpec{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Read(Input{ID: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", Body: "x"})[0]
	}
	// Frozen: another key would make a payment twice at an upgrade.
	const key = "77f2dbe5-4fef-80cf-81c8-0b41893cdc27"
	alone, pooled := read("orders", ""), read("orders", "pool")
	if alone.IdempotencyKey != key || pooled.IdempotencyKey != key {
		t.Errorf("keys %s and %s, want %s", alone.IdempotencyKey, pooled.IdempotencyKey, key)
	}
	if read("other", "").IdempotencyKey == key {
		t.Error("two queues have the same key")
	}
	want := []EnvVar{{"QUEUEMILL_MESSAGE_ID", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"}, {"QUEUEMILL_IDEMPOTENCY_KEY", key}}
	if !slices.Equal(alone.Env, want) || !slices.Equal(pooled.Env, append(want, EnvVar{"QUEUEMILL_WORKERPOOL", "pool"})) {
		t.Errorf("environments %v and %v", alone.Env, pooled.Env)
	}
}
