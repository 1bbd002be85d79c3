package sqs

import (
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

func TestLocateReadsQueueURLs(t *testing.T) {
	for _, c := range []struct {
		url, region string // of the source
		want        place  // without url
	}{
		{"https://sqs.eu-west-1.amazonaws.com/123456789012/ping", "", place{name: "ping", region: "eu-west-1"}},
		{"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/ping", "", place{name: "ping", region: "cn-north-1"}},
		{"https://sqs.us-gov-east-1.api.aws/123456789012/ping.fifo", "", place{name: "ping.fifo", region: "us-gov-east-1"}},
		{"https://queue.amazonaws.com/123456789012/ping", "", place{name: "ping", region: "us-east-1"}},
		{"https://ap-south-1.queue.amazonaws.com/123456789012/ping", "", place{name: "ping", region: "ap-south-1"}},
		{"https://sqs-fips.us-east-2.amazonaws.com/1/ping", "", place{name: "ping", region: "us-east-2", endpoint: "https://sqs-fips.us-east-2.amazonaws.com"}},
		{"https://vpce-0a-b.sqs.us-east-1.vpce.amazonaws.com/1/ping", "", place{name: "ping", region: "us-east-1", endpoint: "https://vpce-0a-b.sqs.us-east-1.vpce.amazonaws.com"}},
		{"https://sqs.eu-west-1.amazonaws.com/1/ping", "eu-west-3", place{name: "ping", region: "eu-west-3"}},
		{"http://127.0.0.1:9324/000000000000/ping", "", place{name: "ping", region: "us-east-1", endpoint: "http://127.0.0.1:9324", loopback: true}},
		{"http://localhost:9324/000000000000/ping/", "eu-west-1", place{name: "ping", region: "eu-west-1", endpoint: "http://localhost:9324", loopback: true}},
		{"http://[::1]:9324/000000000000/ping", "", place{name: "ping", region: "us-east-1", endpoint: "http://[::1]:9324", loopback: true}},
		{"http://queue.internal:9324/000000000000/ping", "", place{name: "ping", endpoint: "http://queue.internal:9324"}},
		{"https://sqs.eu-west-1.amazonaws.com.evil.example/1/ping", "", place{name: "ping", endpoint: "https://sqs.eu-west-1.amazonaws.com.evil.example"}},
	} {
		c.want.url = c.url
		got, err := locate(v1alpha1.SQSSource{URL: c.url, Region: c.region}, Options{})
		if err != nil || got != c.want {
			t.Errorf("%s in region %q:\n got %+v, %v\nwant %+v", c.url, c.region, got, err, c.want)
		}
	}
}

func TestLocateReadsNames(t *testing.T) {
	got, err := locate(v1alpha1.SQSSource{Name: "ping"}, Options{Endpoint: "http://127.0.0.1:9324"})
	want := place{name: "ping", region: "us-east-1", endpoint: "http://127.0.0.1:9324", loopback: true}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	got, err = locate(v1alpha1.SQSSource{Name: "ping"}, Options{})
	if want := (place{name: "ping"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestLocateSaysWhatIsWrong(t *testing.T) {
	for source, want := range map[v1alpha1.SQSSource]string{
		{}: "url or name is needed",
		{URL: "https://sqs.eu-west-1.amazonaws.com/1/a", Name: "a"}: "exclude each other",
		{URL: "ping"}:                    "no URL",
		{URL: "ftp://host/1/ping"}:       "no URL",
		{URL: "https://"}:                "no URL",
		{URL: "http://127.0.0.1:9324"}:   "names no queue",
		{URL: "http://127.0.0.1:9324//"}: "names no queue",
	} {
		if _, err := locate(source, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error that says %q", source, err, want)
		}
	}
}
