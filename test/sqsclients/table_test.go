package sqsclients

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/SQS_COMPATIBILITY.md")

const document = "../../docs/SQS_COMPATIBILITY.md"

// failure is an error as clients see it: by the code that SQS has had since its
// Query protocol, which JSON repeats in a header for clients that grew up with
// it, and by aws-sdk-go-v2's type.
type failure struct {
	code   string // default: the name in the API reference
	status int    // default: 400
	common bool   // of all AWS services: no type of its own
}

const legacy = "AWS.SimpleQueueService."

// failures are what differs from the defaults, by the API reference's name.
// Source: the error traits of AWS's service model, and "Common Error Types".
var failures = map[string]failure{
	"QueueDoesNotExist":            {code: legacy + "NonExistentQueue"},
	"QueueNameExists":              {code: "QueueAlreadyExists"},
	"QueueDeletedRecently":         {code: legacy + "QueueDeletedRecently"},
	"PurgeQueueInProgress":         {code: legacy + "PurgeQueueInProgress", status: http.StatusForbidden},
	"MessageNotInflight":           {code: legacy + "MessageNotInflight"},
	"EmptyBatchRequest":            {code: legacy + "EmptyBatchRequest"},
	"TooManyEntriesInBatchRequest": {code: legacy + "TooManyEntriesInBatchRequest"},
	"BatchEntryIdsNotDistinct":     {code: legacy + "BatchEntryIdsNotDistinct"},
	"InvalidBatchEntryId":          {code: legacy + "InvalidBatchEntryId"},
	"BatchRequestTooLong":          {code: legacy + "BatchRequestTooLong"},
	"OverLimit":                    {status: http.StatusForbidden},
	"ReceiptHandleIsInvalid":       {status: http.StatusNotFound},
	"InvalidAddress":               {status: http.StatusNotFound},
	"ResourceNotFoundException":    {status: http.StatusNotFound},
	"InvalidParameterValue":        {common: true},
	"MissingParameter":             {common: true},
	"MissingAuthenticationToken":   {common: true, status: http.StatusForbidden},
	"InvalidClientTokenId":         {common: true, status: http.StatusForbidden},
	"SignatureDoesNotMatch":        {common: true, status: http.StatusForbidden},
}

func failureOf(outcome string) failure {
	e := failures[outcome]
	if e.code == "" {
		e.code = outcome
	}
	if e.status == 0 {
		e.status = http.StatusBadRequest
	}
	return e
}

// never are the documented errors that this server has no cause for, and why.
var never = map[string]string{
	"RequestThrottled":     "nothing is throttled",
	"InvalidSecurity":      "plain HTTP is allowed on loopback, and what is wrong with a signature has codes of its own",
	"InvalidIdFormat":      "deprecated by SQS: a receipt that is none is ReceiptHandleIsInvalid",
	"UnsupportedOperation": "SQS lists it for every action; nothing here is unsupported",
	"KmsAccessDenied":      noKMS,
	"KmsDisabled":          noKMS,
	"KmsInvalidKeyUsage":   noKMS,
	"KmsInvalidState":      noKMS,
	"KmsNotFound":          noKMS,
	"KmsOptInRequired":     noKMS,
	"KmsThrottled":         noKMS,
}

const noKMS = "key settings are kept and returned, but there is no KMS"

// neverOf are further ones, by action.
var neverOf = map[string]map[string]string{
	"InvalidAddress": {
		"CreateQueue": noURL, "GetQueueUrl": noURL, "ListQueues": noURL,
		"StartMessageMoveTask": noURL, "ListMessageMoveTasks": noURL, "CancelMessageMoveTask": noURL,
	},
	"OverLimit": {"SetQueueAttributes": "none of its attributes has a limit that is not InvalidAttributeValue"},
}

const noURL = "the action takes no queue URL"

// why says why an action never answers an error; empty when it does.
func why(action, outcome string) string {
	if reason := neverOf[outcome][action]; reason != "" {
		return reason
	}
	return never[outcome]
}

// TestCompatibility does every cell with every client and compares what they
// saw with the table in docs, which -update writes.
func TestCompatibility(t *testing.T) {
	cells := slices.Concat(queueCells, messageCells, moveCells, everyQueueCells(), batchCells(), anyActionCells())
	slices.SortStableFunc(cells, func(a, b cell) int {
		if c := strings.Compare(a.action, b.action); c != 0 {
			return c
		}
		return strings.Compare(a.outcome, b.outcome)
	})
	checkDocumented(t, cells)

	s := startServers(t)
	first := startPython(t)
	env := withMoveTasks(t, first.model)
	clients := []client{newAWS(t, env...), startPython(t, env...), goClient{}}
	for _, c := range clients {
		t.Logf("client: %s", c.name())
	}
	seen := make([][]string, len(cells))
	for i := range seen {
		seen[i] = make([]string, len(clients))
	}
	t.Run("cells", func(t *testing.T) {
		for column, client := range clients {
			for row, c := range cells {
				t.Run(strings.Join([]string{columns[column], c.action, c.outcome, c.title}, "/"), func(t *testing.T) {
					t.Parallel()
					seen[row][column] = c.run(t, s, client)
				})
			}
		}
	})
	if t.Failed() || strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return // only some cells were wanted
	}
	checkDocument(t, render(cells, seen))
}

// columns name the clients without their versions.
var columns = []string{"aws", "boto3", "aws-sdk-go-v2"}

// run does one cell and returns what the table says of it.
func (c cell) run(t *testing.T, s *servers, client client) string {
	f := newFixture(t, s)
	p, check := c.do(f)
	r := request{Endpoint: s.open, Access: "any", Secret: "any", Action: c.action, Params: p}
	switch c.signing {
	case signed:
		r.Endpoint, r.Access, r.Secret = s.signed, access, secret
	case unsigned:
		r.Endpoint, r.Access, r.Secret = s.signed, "", ""
	case unknownKey:
		r.Endpoint, r.Access, r.Secret = s.signed, "AKIDUNKNOWN", secret
	case wrongSecret:
		r.Endpoint, r.Access, r.Secret = s.signed, access, "wrong"
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	got, err := client.do(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if c.outcome == "" {
		if got.Code != "" || got.Refused != "" {
			t.Fatalf("got %+v, want success", got)
		}
		if check != nil {
			check(got.Result)
		}
		return "✓"
	}
	want := failureOf(c.outcome)
	if got.Code != want.code || got.Status != 0 && got.Status != want.status {
		t.Errorf("got %+v, want %s with status %d", got, want.code, want.status)
	}
	if got.Type != "" && got.Type != c.outcome && !want.common {
		t.Errorf("the error's type is %s, want %s", got.Type, c.outcome)
	}
	if got.Message == "" && got.Type != "MessageNotInflight" { // whose type in Go has none
		t.Errorf("%s has no text", got.Code)
	}
	return "`" + got.Code + "`"
}

// checkDocumented holds the cells against what SQS documents.
func checkDocumented(t *testing.T, cells []cell) {
	data, err := os.ReadFile("testdata/documented.json") // of AWS's service model
	if err != nil {
		t.Fatal(err)
	}
	var documented map[string][]string
	if err := json.Unmarshal(data, &documented); err != nil {
		t.Fatal(err)
	}
	for action, errs := range documented {
		for _, outcome := range append([]string{""}, errs...) {
			there := slices.ContainsFunc(cells, func(c cell) bool { return c.action == action && c.outcome == outcome })
			if !there && why(action, outcome) == "" {
				t.Errorf("%s has no cell for %q", action, outcome)
			}
		}
	}
	for _, c := range cells {
		if documented[c.action] == nil {
			t.Errorf("%s is no action of SQS", c.action)
		}
	}
}

func checkDocument(t *testing.T, want string) {
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(got), "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("%s differs from what was seen; `go generate ./test/sqsclients` writes it anew (-there +seen):\n%s", document, diff)
	}
}

const head = `# SQS compatibility

What the usual clients see when they talk to Queuemill's embedded queue, as they were seen: ` + "`make test`" + ` does every
cell of this table with the client itself and fails when the table is not what it saw. ` + "`go generate ./test/sqsclients`" + `
writes it anew.

The clients are the ` + "`aws`" + ` command (version 2) and boto3 as Debian 12 has them, both speaking SQS's older Query
protocol, and aws-sdk-go-v2, speaking AWS JSON 1.0. Errors are shown by the code that the client shows; HTTP status, the
error's text and, in Go, its type are checked too. Debian's botocore is older than the message move tasks; for those rows
the actions were added to its model, so that it sends them. No client refuses one of these calls by itself.

| action | call | error | aws | boto3 | aws-sdk-go-v2 |
|---|---|---|---|---|---|
`

// render is the document.
func render(cells []cell, seen [][]string) string {
	var b strings.Builder
	b.WriteString(head)
	for i, c := range cells {
		outcome := c.outcome
		if outcome == "" {
			outcome = "—"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.action, c.title, outcome, strings.Join(seen[i], " | "))
	}
	b.WriteString("\n## What is documented and never answered\n\n")
	for _, outcome := range slices.Sorted(maps.Keys(never)) {
		fmt.Fprintf(&b, "- %s: %s.\n", outcome, never[outcome])
	}
	for _, outcome := range slices.Sorted(maps.Keys(neverOf)) {
		for _, action := range slices.Sorted(maps.Keys(neverOf[outcome])) {
			fmt.Fprintf(&b, "- %s of %s: %s.\n", outcome, action, neverOf[outcome][action])
		}
	}
	return b.String()
}
