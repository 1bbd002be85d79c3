package sqs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// place is where a queue is served.
type place struct {
	url      string // empty: look name up
	name     string
	endpoint string // empty: AWS's own of the region
	region   string // empty: the configuration's
	loopback bool
}

func (p place) label() string {
	if p.url != "" {
		return p.url
	}
	return p.name
}

var (
	// sqs.eu-west-1.amazonaws.com, .amazonaws.com.cn, sqs.eu-west-1.api.aws
	awsHost = regexp.MustCompile(`^sqs\.([a-z0-9-]+)\.(amazonaws\.com(\.cn)?|api\.aws)$`)
	// eu-west-1.queue.amazonaws.com and queue.amazonaws.com, which is us-east-1
	awsLegacyHost = regexp.MustCompile(`^(?:([a-z0-9-]+)\.)?queue\.amazonaws\.com(\.cn)?$`)
	// FIPS and VPC endpoints, used as they are:
	// sqs-fips.us-east-1.amazonaws.com, vpce-0a1b-c2d3.sqs.us-east-1.vpce.amazonaws.com
	awsOtherHost = regexp.MustCompile(`(?:^sqs-fips|\.sqs)\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(\.cn)?$`)
)

const localRegion = "us-east-1" // of servers that are not AWS's, where nobody says otherwise

// locate reads a source. Errors name the field.
func locate(source v1alpha1.SQSSource, o Options) (place, error) {
	p := place{url: source.URL, name: source.Name, endpoint: o.Endpoint, region: source.Region}
	switch {
	case source.URL != "" && source.Name != "":
		return place{}, errors.New("sqs: url and name exclude each other")
	case source.URL == "" && source.Name == "":
		return place{}, errors.New("sqs: url or name is needed")
	}
	address := o.Endpoint
	if source.URL != "" {
		address = source.URL
	}
	if address == "" {
		return p, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return place{}, fmt.Errorf("sqs: %q is no URL: want https://HOST/ACCOUNT/QUEUE", address)
	}
	if source.URL != "" {
		if p.name = nameOf(strings.TrimSuffix(u.Path, "/")); p.name == "." || p.name == "/" {
			return place{}, fmt.Errorf("sqs: %q names no queue: want https://HOST/ACCOUNT/QUEUE", address)
		}
	}
	host := strings.ToLower(u.Hostname())
	region := localRegion
	p.endpoint = u.Scheme + "://" + u.Host
	if m := awsHost.FindStringSubmatch(host); m != nil {
		region, p.endpoint = m[1], ""
	} else if m := awsLegacyHost.FindStringSubmatch(host); m != nil {
		region, p.endpoint = m[1], ""
		if region == "" {
			region = "us-east-1"
		}
	} else if m := awsOtherHost.FindStringSubmatch(host); m != nil {
		region = m[1]
	} else {
		ip := net.ParseIP(host)
		p.loopback = host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
		if p.region == "" && !p.loopback {
			return p, nil // the configuration's region, else localRegion
		}
	}
	if p.region == "" {
		p.region = region
	}
	return p, nil
}

// configure loads the SDK's configuration for a place.
func configure(ctx context.Context, p place, roleARN string, o Options) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(httpClient()),
	}
	if p.region != "" {
		options = append(options, config.WithRegion(p.region))
	}
	if p.loopback { // no instance's credentials are meant for a server on this machine
		options = append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		if p.endpoint == "" {
			return cfg, errors.New("no region: set spec.queue.sqs.region, or AWS_REGION")
		}
		cfg.Region = localRegion
	}
	if p.loopback && roleARN == "" {
		if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
			// A local server without credentials takes any; the SDK wants some.
			cfg.Credentials = credentials.NewStaticCredentialsProvider("local", "local", "")
		}
	}
	if roleARN != "" {
		cfg.Credentials = assume(cfg, roleARN, o)
	}
	return cfg, nil
}

// httpClient keeps enough connections open for the long poll, sends and batches
// of one queue. Deadlines are the calls' own.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = 64
	})
}

// wholeAnswers keeps a request's body from being an io.WriterTo. smithy-go
// (1.28) closes the body as soon as the answer begins, and its WriteTo then says
// io.EOF where net/http looks whether the body has ended; net/http takes that
// for a failed request and closes the connection under the answer. Against a
// server nearby one in five answers of 1 MiB is cut off so.
type wholeAnswers struct{ sqs.HTTPClient }

func (c wholeAnswers) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.HTTPClient.Do(r)
}
