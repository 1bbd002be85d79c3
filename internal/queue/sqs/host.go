package sqs

import (
	"cmp"
	"net/url"
	"strings"
)

// AWSHost tells whether the host of a queue's URL is Amazon's, and of which
// region. Any other host is an endpoint of its own.
func AWSHost(u *url.URL) (region string, ok bool) {
	host := strings.ToLower(u.Hostname())
	if m := awsHost.FindStringSubmatch(host); m != nil {
		return m[1], true
	}
	if m := awsLegacyHost.FindStringSubmatch(host); m != nil {
		return cmp.Or(m[1], "us-east-1"), true
	}
	if m := awsOtherHost.FindStringSubmatch(host); m != nil {
		return m[1], true
	}
	return "", false
}
