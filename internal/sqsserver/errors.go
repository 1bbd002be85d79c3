package sqsserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// Codes that exist on the wire only.
const (
	codeMissingParameter  = "MissingParameter"
	codeInvalidParameter  = "InvalidParameterValue"
	codeInvalidAction     = "InvalidAction"
	codeInvalidAddress    = "InvalidAddress"
	codeInvalidAttribute  = "InvalidAttributeName"
	codeMalformedQuery    = "MalformedQueryString"
	codeSerialization     = "SerializationException"
	codeUnknownOperation  = "UnknownOperation"
	codeTooLarge          = "RequestEntityTooLarge"
	codeRequestTimeout    = "RequestTimeout"
	codeMethodNotAllowed  = "MethodNotAllowed"
	codeUnavailable       = "ServiceUnavailable"
	codeInternal          = "InternalFailure"
	codeAccessDenied      = "AccessDenied"
	codeEmptyBatch        = "EmptyBatchRequest"
	codeTooManyEntries    = "TooManyEntriesInBatchRequest"
	codeIDsNotDistinct    = "BatchEntryIdsNotDistinct"
	codeInvalidBatchID    = "InvalidBatchEntryId"
	codeBatchTooLong      = "BatchRequestTooLong"
	codeQueueDoesNotExist = "QueueDoesNotExist"

	codeMissingToken      = "MissingAuthenticationToken"
	codeIncompleteSign    = "IncompleteSignature"
	codeInvalidClientID   = "InvalidClientTokenId"
	codeSignatureMismatch = "SignatureDoesNotMatch"
	codeRequestExpired    = "RequestExpired"
)

// wireName is how a code is named in both protocols, and its HTTP status.
type wireName struct {
	json   string // behind the # of __type
	query  string // <Code>, and x-amzn-query-error in JSON
	status int
	fault  bool // the server's: Receiver instead of Sender
	common bool // no error of SQS's own, but one that all AWS services share
}

const legacy = "AWS.SimpleQueueService."

// wireNames are the codes whose names differ between the protocols or whose
// status is not 400. Sources: the error traits of AWS's service model
// (awsQueryError) and the Common Errors page of the SQS API reference.
var wireNames = map[string]wireName{
	codeQueueDoesNotExist:       {query: legacy + "NonExistentQueue"},
	"QueueNameExists":           {query: "QueueAlreadyExists"},
	"QueueDeletedRecently":      {query: legacy + "QueueDeletedRecently"},
	"PurgeQueueInProgress":      {query: legacy + "PurgeQueueInProgress", status: http.StatusForbidden},
	"OverLimit":                 {status: http.StatusForbidden},
	"RequestThrottled":          {status: http.StatusForbidden},
	"InvalidSecurity":           {status: http.StatusForbidden},
	"MessageNotInflight":        {query: legacy + "MessageNotInflight"},
	"UnsupportedOperation":      {query: legacy + "UnsupportedOperation"},
	codeEmptyBatch:              {query: legacy + codeEmptyBatch},
	codeTooManyEntries:          {query: legacy + codeTooManyEntries},
	codeIDsNotDistinct:          {query: legacy + codeIDsNotDistinct},
	codeInvalidBatchID:          {query: legacy + codeInvalidBatchID},
	codeBatchTooLong:            {query: legacy + codeBatchTooLong},
	"ReceiptHandleIsInvalid":    {status: http.StatusNotFound},
	"InvalidIdFormat":           {status: http.StatusNotFound},
	codeInvalidAddress:          {status: http.StatusNotFound},
	"ResourceNotFoundException": {status: http.StatusNotFound},

	codeInvalidParameter:  {json: "InvalidParameterValueException"},
	codeMissingParameter:  {json: "MissingRequiredParameterException"},
	codeInvalidAction:     {json: "InvalidActionException"},
	codeSerialization:     {json: codeSerialization},
	codeMalformedQuery:    {json: "MalformedQueryStringException", status: http.StatusNotFound},
	codeUnknownOperation:  {json: "UnknownOperationException", status: http.StatusNotFound},
	codeTooLarge:          {json: "RequestEntityTooLargeException", status: http.StatusRequestEntityTooLarge},
	codeRequestTimeout:    {json: "RequestTimeoutException", status: http.StatusRequestTimeout},
	codeMethodNotAllowed:  {json: "MethodNotAllowedException", status: http.StatusMethodNotAllowed},
	codeUnavailable:       {json: "ServiceUnavailableException", status: http.StatusServiceUnavailable, fault: true},
	codeInternal:          {json: "InternalFailure", status: http.StatusInternalServerError, fault: true},
	codeAccessDenied:      {json: "AccessDeniedException", status: http.StatusForbidden},
	codeMissingToken:      {json: "MissingAuthenticationTokenException", status: http.StatusForbidden},
	codeIncompleteSign:    {json: "IncompleteSignatureException"},
	codeInvalidClientID:   {json: "UnrecognizedClientException", status: http.StatusForbidden},
	codeSignatureMismatch: {json: "InvalidSignatureException", status: http.StatusForbidden},
	codeRequestExpired:    {json: "RequestExpired"},
}

// nameOf resolves a code; what the table leaves out is the code itself and 400.
func nameOf(code string) wireName {
	n := wireNames[code]
	n.common = n.json != ""
	if !n.common {
		n.json = code
	}
	if n.query == "" {
		n.query = code
	}
	if n.status == 0 {
		n.status = http.StatusBadRequest
	}
	return n
}

// failf is an error that goes to the client.
func failf(code, format string, args ...any) error {
	return &embedded.Error{Code: embedded.Code(code), Message: fmt.Sprintf(format, args...)}
}

func missing(parameter string) error {
	return failf(codeMissingParameter, "The request must contain the parameter %s.", parameter)
}

// wireError is any error as the client sees it. What is no SQS error stays
// here: the client is told only that the server is at fault.
func wireError(err error) *embedded.Error {
	var e *embedded.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, embedded.ErrClosed), errors.Is(err, context.Canceled):
		return &embedded.Error{Code: codeUnavailable, Message: "The server is shutting down. Try again."}
	default:
		return &embedded.Error{Code: codeInternal, Message: "We encountered an internal error. Please try again."}
	}
}

// textIn is the message of e in a protocol: Query kept an older wording of one.
// What a client sent and is named in it may not be text at all.
func textIn(xml bool, e *embedded.Error) string {
	if xml && e.Code == codeQueueDoesNotExist && !strings.Contains(e.Message, "wsdl") {
		return "The specified queue does not exist for this wsdl version."
	}
	return strings.ToValidUTF8(e.Message, "\uFFFD")
}
