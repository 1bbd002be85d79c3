package embedded

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/message"
)

// The stored form is frozen: another one is another codecVersion, and reads this.
const (
	goldenRecord  = "01000001904b323c00000001904b32b130000001904b323fe8000001904b323fe8000000030102030400000005676772"
	goldenContent = "01000102030405060708090a0b0c0d0e0f000001904b323c000c303030303030303030303030" +
		"02677202646400" + "020162" + "0642696e6172790002fffe" + "016e06" + "4e756d62657202343200" + "01" +
		"0e41575354726163654865616465720653" + "7472696e6704726f6f7400" + "626f6479"
)

var (
	sampleRecord = record{
		sent: 1719248501760, visible: 1719248531760, received: 1719248502760, first: 1719248502760,
		receives: 3, nonce: 0x01020304, size: 5, group: "ggr",
	}
	sampleContent = content{
		id: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, sent: 1719248501760,
		sender: "000000000000", group: "gr", dedup: "dd",
		attributes: map[string]message.Attribute{
			"n": {DataType: "Number", StringValue: "42"}, "b": {DataType: "Binary", BinaryValue: []byte{0xff, 0xfe}},
		},
		system: map[string]message.Attribute{"AWSTraceHeader": {DataType: "String", StringValue: "root"}},
		body:   "body",
	}
)

func TestStoredFormIsFrozen(t *testing.T) {
	if got := hex.EncodeToString(sampleRecord.append(nil)); got != goldenRecord {
		t.Errorf("record is stored as\n%s, frozen is\n%s", got, goldenRecord)
	}
	if got := hex.EncodeToString(sampleContent.append(nil)); got != goldenContent {
		t.Errorf("content is stored as\n%s, frozen is\n%s", got, goldenContent)
	}
	v, err := hex.DecodeString(goldenRecord)
	if err != nil {
		t.Fatal(err)
	}
	rec, group, err := decodeRecord(v)
	rec.group = string(group)
	if err != nil || rec != sampleRecord {
		t.Errorf("read %+v, %v", rec, err)
	}
	if v, err = hex.DecodeString(goldenContent); err != nil {
		t.Fatal(err)
	}
	c, err := decodeContent(v)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleContent, *c, cmp.AllowUnexported(content{})); diff != "" {
		t.Error(diff)
	}
}

func TestContentSizeIsExact(t *testing.T) {
	long := string(make([]byte, 300))
	for _, c := range []content{{}, sampleContent, {
		body: long, group: long, source: long,
		attributes: map[string]message.Attribute{long: {DataType: long, StringValue: long, BinaryValue: []byte(long)}},
	}} {
		if got := len(c.append(nil)); got != c.size() {
			t.Errorf("size says %d, it is %d", c.size(), got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sampleRecord.append(nil))
	f.Add(sampleContent.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = decodeRecord(b)
		if c, err := decodeContent(b); err == nil {
			again, err := decodeContent(c.append(nil))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, again, cmp.AllowUnexported(content{})); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func FuzzHandle(f *testing.F) {
	q := &Queue{id: 7}
	f.Add(handle{7, 1, 2}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := q.parseHandle(s); err == nil && h.String() != s {
			t.Fatalf("%q is read as %q", s, h.String())
		}
	})
}
