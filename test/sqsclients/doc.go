// Package sqsclients holds the table of what SQS's usual clients make of the
// embedded server: each action's success and each documented error, through the
// aws command, boto3 and aws-sdk-go-v2. Its tests write docs/SQS_COMPATIBILITY.md.
package sqsclients

//go:generate go test -run TestCompatibility -update .
