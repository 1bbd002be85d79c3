package sqs

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const (
	// The session tags of an assumed role, which its trust policy has to allow
	// (sts:TagSession). Not kubernetes-namespace: that one EKS Pod Identity sets,
	// transitively, and then nobody behind it may set it again.
	tagNamespace = "queuemill-namespace"
	tagName      = "queuemill-queuejob"

	maxSessionName = 64 // STS: RoleSessionName, 2 to 64 of [\w+=,.@-]
)

var notInSessionName = regexp.MustCompile(`[^A-Za-z0-9_+=,.@-]`)

// assume returns credentials of the role, renewed before they end. A session
// names the QueueJob it is for, in its name (CloudTrail) and, where there is a
// namespace, in its tags (policies: aws:PrincipalTag).
func assume(cfg aws.Config, roleARN string, o Options) aws.CredentialsProvider {
	role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), roleARN, func(a *stscreds.AssumeRoleOptions) {
		a.RoleSessionName = sessionName(o.Namespace, o.Name)
		if o.Namespace != "" {
			a.Tags = []types.Tag{
				{Key: aws.String(tagNamespace), Value: aws.String(o.Namespace)},
				{Key: aws.String(tagName), Value: aws.String(o.Name)},
			}
		}
	})
	return aws.NewCredentialsCache(role)
}

// sessionName is queuemill-NAMESPACE.NAME, its tail a hash where that is too long.
func sessionName(namespace, name string) string {
	s := "queuemill"
	for i, part := range []string{namespace, name} {
		if part == "" {
			continue
		}
		if i == 1 && namespace != "" {
			s += "." + part
		} else {
			s += "-" + part
		}
	}
	s = notInSessionName.ReplaceAllString(s, "-")
	if len(s) > maxSessionName {
		sum := sha256.Sum256([]byte(s))
		tail := "-" + hex.EncodeToString(sum[:4])
		s = s[:maxSessionName-len(tail)] + tail
	}
	return s
}
