package sqs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/queuemill/queuemill/internal/queue"
)

// failure says what could not be done with which queue, as one of queue's
// errors where it is one. The SDK's own text repeats the operation and the
// protocol; code, text and request ID are what helps.
func (q *Queue) failure(verb string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s %s: %w", verb, q.name, context.Canceled)
	}
	var (
		api     smithy.APIError
		signing *v4.SigningError
		reply   *awshttp.ResponseError
	)
	status, request := 0, ""
	if errors.As(err, &reply) {
		status = reply.HTTPStatusCode()
		if id := reply.ServiceRequestID(); id != "" {
			request = fmt.Sprintf(" (request %s)", id)
		}
	}
	switch {
	case errors.As(err, &api) && status < http.StatusInternalServerError:
		why := kind(api.ErrorCode(), api.ErrorMessage())
		if errors.Is(why, queue.ErrInvalid) {
			why = kindOfStatus(status)
		}
		return fmt.Errorf("%s %s: %w: %s: %s%s", verb, q.name, why, api.ErrorCode(), api.ErrorMessage(), request)
	case errors.As(err, &signing), strings.Contains(err.Error(), "get identity:"):
		return fmt.Errorf("%s %s: %w: no usable AWS credentials: %w", verb, q.name, queue.ErrDenied, cause(err))
	case status >= http.StatusBadRequest && status < http.StatusInternalServerError:
		return fmt.Errorf("%s %s: %w: %w", verb, q.name, kindOfStatus(status), cause(err))
	}
	var sent *url.Error // says where, and why not; around it stand how often, and a status and ID that are empty
	if errors.As(err, &sent) {
		err = sent
	}
	return fmt.Errorf("%s %s: %w: %w", verb, q.name, queue.ErrUnreachable, cause(err))
}

// refusal is the error of one entry of a batch.
func (q *Queue) refusal(verb string, e types.BatchResultErrorEntry) error {
	code, text := value(e.Code), value(e.Message)
	err := kind(code, text)
	if !e.SenderFault && errors.Is(err, queue.ErrInvalid) {
		err = queue.ErrUnreachable // the service's own fault, whatever it calls it
	}
	return fmt.Errorf("%s %s: %w: %s: %s", verb, q.name, err, code, text)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// cause strips the SDK's frame off an error.
func cause(err error) error {
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		return operation.Unwrap()
	}
	return err
}

// kind maps an error code, of either protocol, to queue's errors.
func kind(code, text string) error {
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return queue.ErrThrottled
	}
	switch short := strings.TrimPrefix(code, "AWS.SimpleQueueService."); short {
	case "QueueDoesNotExist", "NonExistentQueue":
		return queue.ErrNotFound
	case "ReceiptHandleIsInvalid", "MessageNotInflight":
		return queue.ErrReceiptInvalid
	case "InvalidParameterValue":
		// An expired receipt has no code of its own: "Value … for parameter
		// ReceiptHandle is invalid. Reason: The receipt handle has expired."
		if strings.Contains(text, "ReceiptHandle") || strings.Contains(text, "not available for visibility timeout") {
			return queue.ErrReceiptInvalid
		}
		return queue.ErrInvalid
	case "OverLimit", "PurgeQueueInProgress", "KmsThrottled", "KMS.ThrottlingException":
		return queue.ErrThrottled
	case "InternalError", "InternalFailure", "ServiceUnavailable", "RequestTimeout":
		return queue.ErrUnreachable
	}
	for _, part := range []string{"AccessDenied", "AuthFailure", "Credential", "ClientToken", "UnrecognizedClient", "Signature", "AccessKey", "ExpiredToken", "AuthenticationToken", "InvalidSecurity", "OptInRequired", "NotAuthorized"} {
		if strings.Contains(code, part) {
			return queue.ErrDenied
		}
	}
	return queue.ErrInvalid
}

// kindOfStatus is for codes that nobody knows, or answers without one: proxies'.
func kindOfStatus(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return queue.ErrDenied
	case http.StatusTooManyRequests:
		return queue.ErrThrottled
	}
	return queue.ErrInvalid
}
