package sqsserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

var testKey = aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

// signedServer verifies, with the clock at now.
func signedServer(t testing.TB, now time.Time) *Server {
	s := New(newBroker(t, embedded.Options{}), Options{Credentials: []Credential{
		{AccessKeyID: "AKIDOTHER", SecretAccessKey: "other"},
		{AccessKeyID: testKey.AccessKeyID, SecretAccessKey: testKey.SecretAccessKey},
		{AccessKeyID: "ASIATEMP", SecretAccessKey: "temporary", SessionToken: "token"},
		{AccessKeyID: "AKIDEMPTY"},
	}})
	s.verify.now = func() time.Time { return now }
	return s
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sign signs r, whose body is body, as the SDK does.
func sign(t testing.TB, r *http.Request, body string, key aws.Credentials, at time.Time) {
	t.Helper()
	r.Host = testHost
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(sum[:]), "sqs", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
}

const listBody = `{"QueueNamePrefix":"a"}`

func TestSignedRequestsAreServedInTheirRegion(t *testing.T) {
	s := signedServer(t, testTime)
	body := `{"QueueName":"q"}`
	r := jsonCall("CreateQueue", body)
	sign(t, r, body, testKey, testTime)
	if w := do(s, r); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if _, err := s.broker.Queue("eu-west-1", "q"); err != nil {
		t.Errorf("queue in the region of the signature: %v", err)
	}
	if _, err := s.broker.Queue("us-east-1", "q"); err == nil {
		t.Error("queue is in another region too")
	}
	// Query, at a path and with blanks and escapes in the URL.
	form := "Action=SendMessage&MessageBody=a+b%20c%2F"
	r = queryCall("/000000000000/q?Version=2012-11-05&x=%7e+1", form)
	sign(t, r, form, testKey, testTime)
	if w := do(s, r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	temp := aws.Credentials{AccessKeyID: "ASIATEMP", SecretAccessKey: "temporary", SessionToken: "token"}
	r = jsonCall("ListQueues", listBody)
	sign(t, r, listBody, temp, testTime)
	if w := do(s, r); w.Code != http.StatusOK {
		t.Errorf("with a session token: %d %s", w.Code, w.Body)
	}
}

func TestBadSignaturesAreRefused(t *testing.T) {
	header := func(name, old, now string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, strings.Replace(r.Header.Get(name), old, now, 1)) }
	}
	for _, c := range []struct {
		name   string
		key    aws.Credentials
		at     time.Time
		change func(*http.Request) // after it was signed
		status int
		code   string // x-amzn-query-error, without the side
		text   string
	}{
		{name: "none", change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 403, code: codeMissingToken, text: "missing Authentication Token"},
		{name: "unknown key", key: aws.Credentials{AccessKeyID: "AKIDNONE", SecretAccessKey: "x"}, status: 403, code: codeInvalidClientID, text: "security token included in the request is invalid"},
		{name: "key without secret", key: aws.Credentials{AccessKeyID: "AKIDEMPTY", SecretAccessKey: ""}, status: 403, code: codeInvalidClientID},
		{name: "wrong secret", key: aws.Credentials{AccessKeyID: testKey.AccessKeyID, SecretAccessKey: "x"}, status: 403, code: codeSignatureMismatch, text: "does not match the signature you provided"},
		{name: "another's secret", key: aws.Credentials{AccessKeyID: testKey.AccessKeyID, SecretAccessKey: "other"}, status: 403, code: codeSignatureMismatch},
		{name: "token missing", key: aws.Credentials{AccessKeyID: "ASIATEMP", SecretAccessKey: "temporary"}, status: 403, code: codeInvalidClientID},
		{name: "token where none is", key: aws.Credentials{AccessKeyID: testKey.AccessKeyID, SecretAccessKey: testKey.SecretAccessKey, SessionToken: "x"}, status: 403, code: codeInvalidClientID},
		{name: "body changed", change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"QueueNamePrefix":"b"}`)) }, status: 403, code: codeSignatureMismatch},
		{name: "action changed", change: func(r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSQS.PurgeQueue") }, status: 403, code: codeSignatureMismatch},
		{name: "path changed", change: func(r *http.Request) { r.URL.Path = "/000000000000/q" }, status: 403, code: codeSignatureMismatch},
		{name: "query added", change: func(r *http.Request) { r.URL.RawQuery = "a=b" }, status: 403, code: codeSignatureMismatch},
		{name: "content hash wrong", change: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, status: 403, code: codeSignatureMismatch},
		{name: "target not signed", change: header("Authorization", ";x-amz-target", ""), status: 403, code: codeSignatureMismatch, text: "'x-amz-target' must be a 'SignedHeader'"},
		{name: "host not signed", change: header("Authorization", "host;", ""), status: 403, code: codeSignatureMismatch, text: "'host' must be a 'SignedHeader'"},
		{name: "too old", at: testTime.Add(-15*time.Minute - time.Second), status: 403, code: codeSignatureMismatch, text: "Signature expired: 20260102T024904Z is now earlier than 20260102T024905Z (20260102T030405Z - 15 min.)"},
		{name: "too new", at: testTime.Add(15*time.Minute + time.Second), status: 403, code: codeSignatureMismatch, text: "Signature not yet current"},
		{name: "date of another day", change: header("Authorization", "20260102", "20260103"), status: 403, code: codeSignatureMismatch, text: "Date in Credential scope does not match"},
		{name: "another service", change: header("Authorization", "/sqs/", "/sns/"), status: 403, code: codeSignatureMismatch, text: "correct service: 'sqs'"},
		{name: "region is no word", change: header("Authorization", "eu-west-1", "EU:1"), status: 403, code: codeSignatureMismatch},
		{name: "scope cut", change: header("Authorization", "/aws4_request", ""), status: 400, code: codeIncompleteSign, text: "exactly 5 slash-delimited elements"},
		{name: "no signature in it", change: header("Authorization", "Signature=", "S="), status: 400, code: codeIncompleteSign, text: "requires 'Signature' parameter"},
		{name: "another algorithm", change: header("Authorization", "AWS4-HMAC-SHA256", "Bearer"), status: 400, code: codeIncompleteSign},
		{name: "no date", change: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, status: 400, code: codeIncompleteSign, text: "ISO-8601"},
		{name: "just old enough", at: testTime.Add(-15 * time.Minute), status: 200},
		{name: "just new enough", at: testTime.Add(15 * time.Minute), status: 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedServer(t, testTime)
			if c.key.AccessKeyID == "" {
				c.key = testKey
			}
			if c.at.IsZero() {
				c.at = testTime
			}
			r := jsonCall("ListQueues", listBody)
			sign(t, r, listBody, c.key, c.at)
			if c.change != nil {
				c.change(r)
			}
			w := do(s, r)
			code, _, _ := strings.Cut(w.Header().Get("X-Amzn-Query-Error"), ";")
			if w.Code != c.status || code != c.code || !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("%d %s %s; want %d %s with %q", w.Code, code, w.Body, c.status, c.code, c.text)
			}
		})
	}
}

// presigned is a GET of an action, good for five minutes from testTime.
func presigned(t testing.TB, form string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://"+testHost+"/000000000000/q?X-Amz-Expires=300&"+form, nil)
	sum := sha256.Sum256(nil)
	u, _, err := v4.NewSigner().PresignHTTP(context.Background(), testKey, r, hex.EncodeToString(sum[:]), "sqs", "eu-west-1", testTime)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPresignedURLs(t *testing.T) {
	for _, c := range []struct {
		name   string
		after  time.Duration
		change func(string) string
		status int
		want   string
	}{
		{name: "good", after: 5 * time.Minute, status: 200, want: "<MessageId>"},
		{name: "expired", after: 5*time.Minute + time.Second, status: 400, want: "<Code>RequestExpired</Code>"},
		{name: "from the future", after: -16 * time.Minute, status: 403, want: "Signature not yet current"},
		{name: "message changed", change: func(u string) string { return strings.Replace(u, "hello", "HELLO", 1) }, status: 403, want: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "parameter added", change: func(u string) string { return u + "&DelaySeconds=1" }, status: 403, want: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "expires never", change: func(u string) string { return strings.Replace(u, "Expires=300", "Expires=604801", 1) }, status: 400, want: "<Code>IncompleteSignature</Code>"},
		{name: "algorithm", change: func(u string) string { return strings.Replace(u, "HMAC", "NONE", 1) }, status: 400, want: "<Code>IncompleteSignature</Code>"},
		{name: "unsigned", change: func(u string) string { return strings.Replace(u, "X-Amz-Signature", "X", 1) }, status: 403, want: "<Code>MissingAuthenticationToken</Code>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedServer(t, testTime.Add(c.after))
			if _, err := s.broker.CreateQueue("eu-west-1", "q", nil, nil); err != nil {
				t.Fatal(err)
			}
			u := presigned(t, "Action=SendMessage&MessageBody="+url.QueryEscape("hello + you/é"))
			if c.change != nil {
				u = c.change(u)
			}
			w := do(s, httptest.NewRequest(http.MethodGet, u, nil))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s; want %d with %s", w.Code, w.Body, c.status, c.want)
			}
		})
	}
}

// Unsigned servers only read the region out of a signature.
func TestRegionOfUnverifiedRequests(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Bearer x": "", "AWS4-HMAC-SHA256 Credential=a/b": "",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=00": "eu-west-1",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102/EU../sqs/aws4_request, SignedHeaders=host":                    "",
	} {
		r := jsonCall("ListQueues", "")
		r.Header.Set("Authorization", header)
		if got := claimedRegion(r); got != want {
			t.Errorf("%q: region %q, want %q", header, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/?X-Amz-Credential=AKID%2F20260102%2Fap-south-1%2Fsqs%2Faws4_request", nil)
	if got := claimedRegion(r); got != "ap-south-1" {
		t.Errorf("presigned: region %q", got)
	}
}
