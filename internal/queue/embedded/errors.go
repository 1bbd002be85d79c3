package embedded

import (
	"errors"
	"fmt"

	"github.com/queuemill/queuemill/internal/store"
)

// Code is the name of an error as SQS has it, without namespace.
type Code string

// The codes that this package answers.
const (
	CodeQueueDoesNotExist      Code = "QueueDoesNotExist"
	CodeQueueNameExists        Code = "QueueNameExists"
	CodeQueueDeletedRecently   Code = "QueueDeletedRecently"
	CodeInvalidAttributeName   Code = "InvalidAttributeName"
	CodeInvalidAttributeValue  Code = "InvalidAttributeValue"
	CodeInvalidParameterValue  Code = "InvalidParameterValue"
	CodeMissingParameter       Code = "MissingParameter"
	CodeInvalidMessageContents Code = "InvalidMessageContents"
	CodeReceiptHandleIsInvalid Code = "ReceiptHandleIsInvalid"
	CodeMessageNotInflight     Code = "MessageNotInflight"
	CodeOverLimit              Code = "OverLimit"
	CodePurgeQueueInProgress   Code = "PurgeQueueInProgress"
	CodeResourceNotFound       Code = "ResourceNotFoundException"
	CodeUnsupportedOperation   Code = "UnsupportedOperation"
	CodeServiceUnavailable     Code = "ServiceUnavailable"
	CodeInternalFailure        Code = "InternalFailure"
)

// Error is what a caller did wrong, or what stands in the way, in SQS's words.
type Error struct {
	Code    Code
	Message string
	cause   error
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns what lies below, if anything: store.ErrFull, a context's error.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, &Error{Code: c}) true for every error of that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}

// ErrClosed: the broker is closed.
var ErrClosed error = &Error{Code: CodeServiceUnavailable, Message: "The queue is shutting down."}

func errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// storeError is err of the store in SQS's terms.
func storeError(err error) error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, store.ErrFull):
		return &Error{Code: CodeServiceUnavailable, Message: "The disk under the data directory is full: nothing was stored. Free some space; receiving and deleting go on.", cause: err}
	}
	return &Error{Code: CodeInternalFailure, Message: "The store failed: " + err.Error(), cause: err}
}

// errStaleReceipt marks errors about receipts that were good once; SQS has no
// code of their own for them.
var errStaleReceipt = errors.New("receipt is not the present one")

func staleReceipt(h handle, reason string) error {
	e := errorf(CodeInvalidParameterValue, "Value %s for parameter ReceiptHandle is invalid. Reason: %s", h, reason)
	e.cause = errStaleReceipt
	return e
}

func errNoQueue() error {
	return &Error{Code: CodeQueueDoesNotExist, Message: "The specified queue does not exist."}
}
