package sqs_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

func TestAssumedRoleSaysForWhichQueueJob(t *testing.T) {
	long := strings.Repeat("n", 63)
	for _, c := range []struct {
		name    string
		options sqs.Options
		session string
		tagged  bool
	}{
		{"in a cluster", sqs.Options{Namespace: "team-a", Name: "ping"}, "queuemill-team-a.ping", true},
		{"too long together", sqs.Options{Namespace: long, Name: strings.Repeat("p", 40)}, "queuemill-" + long[:45] + "-", true},
		{"on a laptop", sqs.Options{Name: "ping"}, "queuemill-ping", false},
		{"for nobody", sqs.Options{}, "queuemill", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, func(call call) (int, any) {
				if strings.Contains(call.action, "AssumeRole") {
					return http.StatusOK, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>` +
						`<AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>` +
						`</Credentials></AssumeRoleResult></AssumeRoleResponse>`
				}
				return allDone(call)
			})
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIDMINE")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
			q, err := sqs.Open(t.Context(), v1alpha1.SQSSource{
				URL: s.URL + "/1/ping", Region: "eu-north-1", RoleARN: "arn:aws:iam::123456789012:role/mill",
			}, c.options)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := q.Delete(t.Context(), receipts(1))[0]; err != nil {
					t.Fatal(err)
				}
			}
			if len(s.calls) != 3 {
				t.Fatalf("%d calls, want the role assumed once and used twice", len(s.calls))
			}
			_, body, _ := strings.Cut(s.calls[0].action, " ")
			form, err := url.ParseQuery(body)
			if err != nil {
				t.Fatal(err)
			}
			name := form.Get("RoleSessionName")
			if !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(name) || !strings.HasPrefix(name, c.session) || len(name) > len(c.session)+8 {
				t.Errorf("session %q, want %s", name, c.session)
			}
			tags := map[string]string{}
			for _, n := range []string{"1", "2", "3"} {
				if key := form.Get("Tags.member." + n + ".Key"); key != "" {
					tags[key] = form.Get("Tags.member." + n + ".Value")
				}
			}
			if !c.tagged && len(tags) > 0 {
				t.Errorf("tags %v, want none", tags)
			}
			if c.tagged && (len(tags) != 2 || tags["queuemill-namespace"] != c.options.Namespace || tags["queuemill-queuejob"] != c.options.Name) {
				t.Errorf("tags %v", tags)
			}
			if !strings.Contains(s.calls[0].credential, "AKIDMINE/") || !strings.Contains(s.calls[0].credential, "/eu-north-1/sts/") {
				t.Errorf("assumed as %s, want the own identity in the queue's region", s.calls[0].credential)
			}
			for _, call := range s.calls[1:] {
				if !strings.HasPrefix(call.credential, "AKIDROLE/") || !strings.Contains(call.credential, "/eu-north-1/sqs/") {
					t.Errorf("queue called as %s", call.credential)
				}
			}
		})
	}
}

func TestDeadLettersAreCountedBesideTheirSource(t *testing.T) {
	s := newService(t, func(c call) (int, any) {
		if strings.HasSuffix(c.body.QueueUrl, "/prefix/123456789012/ping") {
			return http.StatusOK, map[string]any{"Attributes": map[string]string{
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:210987654321:ping-dead","maxReceiveCount":"3"}`,
			}}
		}
		if strings.HasSuffix(c.body.QueueUrl, "/prefix/210987654321/ping-dead") {
			return http.StatusOK, map[string]any{"Attributes": map[string]string{
				"ApproximateNumberOfMessages": "7", "ApproximateNumberOfMessagesNotVisible": "1", "ApproximateNumberOfMessagesDelayed": "0",
			}}
		}
		return http.StatusBadRequest, fault("QueueDoesNotExist", c.body.QueueUrl)
	})
	q := s.open(t, v1alpha1.SQSSource{URL: s.URL + "/prefix/123456789012/ping"})
	if d, err := q.DeadLetters(t.Context()); err != nil || d.Total() != 8 {
		t.Errorf("%+v, %v, want 8 dead letters", d, err)
	}
}
