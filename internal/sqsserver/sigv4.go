package sqsserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Credential is an access key that may call.
type Credential struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty for a key of a user
}

// Signature Version 4 (IAM user guide, "AWS Signature Version 4 for API requests").
const (
	algorithm  = "AWS4-HMAC-SHA256"
	service    = "sqs"
	terminator = "aws4_request"
	amzDate    = "20060102T150405Z"

	// maxSkew is how far a client's clock may be off.
	maxSkew = 15 * time.Minute

	// maxExpires is the longest a presigned URL may be good for.
	maxExpires = 7 * 24 * time.Hour
)

// verifier checks signatures against a list of keys.
type verifier struct {
	keys map[string]Credential // by access key ID
	now  func() time.Time
}

func newVerifier(credentials []Credential) *verifier {
	v := &verifier{keys: map[string]Credential{}, now: time.Now}
	for _, c := range credentials {
		if c.AccessKeyID != "" && c.SecretAccessKey != "" { // anyone can sign with an empty secret
			v.keys[c.AccessKeyID] = c
		}
	}
	return v
}

// signature is what a request says about its signature.
type signature struct {
	keyID, date, region string // date is the scope's, YYYYMMDD
	signed              []string
	value               string
	at                  time.Time
	stamp               string // at, as sent
	expires             time.Duration
	presigned           bool
	token               string
}

func incomplete(format string, args ...any) error {
	return failf(codeIncompleteSign, format, args...)
}

// signature takes the signature of r apart and refuses what can be refused
// before the body is read: none, a malformed or an old one, an unknown key.
func (v *verifier) signature(r *http.Request) (signature, error) {
	sig, err := parseSignature(r)
	if err != nil {
		return sig, err
	}
	if c, ok := v.keys[sig.keyID]; !ok || !hmac.Equal([]byte(c.SessionToken), []byte(sig.token)) {
		return sig, failf(codeInvalidClientID, "The security token included in the request is invalid.")
	}
	return sig, v.inTime(sig)
}

func (v *verifier) inTime(sig signature) error {
	now := v.now().UTC()
	format := func(t time.Time) string { return t.UTC().Format(amzDate) }
	switch {
	case sig.at.After(now.Add(maxSkew)):
		return failf(codeSignatureMismatch, "Signature not yet current: %s is still later than %s (%s + 15 min.)",
			sig.stamp, format(now.Add(maxSkew)), format(now))
	case sig.presigned && now.After(sig.at.Add(sig.expires)):
		return failf(codeRequestExpired, "Request has expired. It was good until %s and it is %s.", format(sig.at.Add(sig.expires)), format(now))
	case !sig.presigned && sig.at.Before(now.Add(-maxSkew)):
		return failf(codeSignatureMismatch, "Signature expired: %s is now earlier than %s (%s - 15 min.)",
			sig.stamp, format(now.Add(-maxSkew)), format(now))
	}
	return nil
}

func parseSignature(r *http.Request) (signature, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		return parseHeader(r, header)
	}
	if strings.Contains(r.URL.RawQuery, "X-Amz-Signature=") {
		return parsePresigned(r.URL.Query())
	}
	return signature{}, failf(codeMissingToken, "Request is missing Authentication Token")
}

func parseHeader(r *http.Request, header string) (signature, error) {
	var sig signature
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return sig, incomplete("Unsupported AWS 'algorithm': '%.40s'.", header)
	}
	var scope string
	for field := range strings.SplitSeq(rest, ",") {
		key, val, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch key {
		case "Credential":
			scope = val
		case "SignedHeaders":
			sig.signed = strings.Split(val, ";")
		case "Signature":
			sig.value = val
		}
	}
	switch "" {
	case scope:
		return sig, incomplete("Authorization header requires 'Credential' parameter.")
	case strings.Join(sig.signed, ""):
		return sig, incomplete("Authorization header requires 'SignedHeaders' parameter.")
	case sig.value:
		return sig, incomplete("Authorization header requires 'Signature' parameter.")
	}
	sig.stamp = r.Header.Get("X-Amz-Date")
	sig.token = r.Header.Get("X-Amz-Security-Token")
	return sig, sig.complete(r.Header, scope)
}

func parsePresigned(q url.Values) (signature, error) {
	sig := signature{
		presigned: true,
		value:     q.Get("X-Amz-Signature"),
		signed:    strings.Split(q.Get("X-Amz-SignedHeaders"), ";"),
		stamp:     q.Get("X-Amz-Date"),
		token:     q.Get("X-Amz-Security-Token"),
	}
	if a := q.Get("X-Amz-Algorithm"); a != algorithm {
		return sig, incomplete("Unsupported AWS 'algorithm': '%.40s'.", a)
	}
	secs, err := strconv.Atoi(q.Get("X-Amz-Expires"))
	if err != nil || secs < 1 || secs > int(maxExpires/time.Second) {
		return sig, incomplete("X-Amz-Expires must be a number of seconds from 1 to %d.", maxExpires/time.Second)
	}
	sig.expires = time.Duration(secs) * time.Second
	return sig, sig.complete(nil, q.Get("X-Amz-Credential"))
}

// complete reads scope and time, and sees that what matters is signed.
func (sig *signature) complete(h http.Header, scope string) error {
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%.200s'.", scope)
	}
	sig.keyID, sig.date, sig.region = parts[0], parts[1], parts[2]
	if parts[3] != service {
		return failf(codeSignatureMismatch, "Credential should be scoped to correct service: '%s'.", service)
	}
	if parts[4] != terminator || !validRegion(sig.region) {
		return failf(codeSignatureMismatch, "Credential should be scoped to a valid region and end in '%s'.", terminator)
	}
	at, err := time.Parse(amzDate, sig.stamp)
	if err != nil {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%.40s'. See http://en.wikipedia.org/wiki/ISO_8601", sig.stamp)
	}
	if sig.at = at; at.Format("20060102") != sig.date {
		return failf(codeSignatureMismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'.", sig.date, at.Format("20060102"))
	}
	need := []string{"host"}
	for name := range h {
		if lower := strings.ToLower(name); lower == "x-amz-target" || lower == "x-amz-date" {
			need = append(need, lower)
		}
	}
	for _, name := range need {
		if !slices.Contains(sig.signed, name) {
			return failf(codeSignatureMismatch, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	return nil
}

// validRegion: the region becomes part of queue names, so it is a plain word.
func validRegion(s string) bool {
	return len(s) > 0 && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// check verifies the signature over the request as it came.
func (v *verifier) check(r *http.Request, sig signature, body []byte) error {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); claimed != "" && !hmac.Equal([]byte(claimed), []byte(hash)) {
		return failf(codeSignatureMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	canonical := sha256.Sum256([]byte(canonicalRequest(r, sig, hash)))
	toSign := algorithm + "\n" + sig.stamp + "\n" +
		sig.date + "/" + sig.region + "/" + service + "/" + terminator + "\n" +
		hex.EncodeToString(canonical[:])
	key := []byte("AWS4" + v.keys[sig.keyID].SecretAccessKey)
	for _, part := range []string{sig.date, sig.region, service, terminator, toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(key)), []byte(sig.value)) {
		return failf(codeSignatureMismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

// canonicalRequest is the request in the form that is signed.
func canonicalRequest(r *http.Request, sig signature, bodyHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range sig.signed {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(sig.signed, ";") + "\n" + bodyHash)
	return b.String()
}

// canonicalPath is the path percent-encoded twice, as every service but S3 has it.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = awsEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// canonicalQuery is the query sorted by name and value, without the signature.
func canonicalQuery(raw string) string {
	type pair struct{ name, value string }
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		name, val, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		val, err2 := url.QueryUnescape(val)
		if name == "" || name == "X-Amz-Signature" || err1 != nil || err2 != nil {
			continue // what can't be decoded is refused when it is read
		}
		pairs = append(pairs, pair{awsEscape(name), awsEscape(val)})
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = p.name + "=" + p.value
	}
	return strings.Join(out, "&")
}

// canonicalHeader is a header's values, trimmed, runs of blanks made one.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length": // net/http keeps it elsewhere
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// awsEscape percent-encodes all but RFC 3986's unreserved characters.
func awsEscape(s string) string {
	const hexDigits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// claimedRegion is the region of the credential scope, "" where there is none:
// without credentials it only says where the queue is.
func claimedRegion(r *http.Request) string {
	var scope string
	if h := r.Header["Authorization"]; len(h) > 0 {
		_, scope, _ = strings.Cut(h[0], "Credential=")
		if i := strings.IndexAny(scope, ", "); i >= 0 {
			scope = scope[:i]
		}
	} else if strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		scope = r.URL.Query().Get("X-Amz-Credential")
	}
	for range 2 { // key ID, date
		_, scope, _ = strings.Cut(scope, "/")
	}
	region, _, ok := strings.Cut(scope, "/")
	if !ok || !validRegion(region) {
		return ""
	}
	return region
}
