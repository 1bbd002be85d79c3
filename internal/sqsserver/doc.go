// Package sqsserver speaks the SQS wire protocol before the embedded queue:
// AWS JSON 1.0 and the older Query protocol with XML answers, on one port. It
// knows how requests and answers look, who may call, and what a client can do
// wrong on the wire; what a queue does is package embedded's.
//
// The way of one request:
//
//	guard ─▶ read body ─▶ verify signature ─▶ decode ─▶ action ─▶ encode
//
// Both protocols are read through one interface (value) and written through one
// type (answer), so each action is written once. The measure is AWS's API
// reference; where it is silent, what real SQS was seen to answer.
//
// # Who may call
//
// Without credentials anyone who reaches the port may do anything, so Serve
// refuses a listener that is not on loopback. A web page open in a browser on
// the same machine reaches loopback too, so without credentials a request is
// refused when it carries the marks of a browser acting for a page (Origin,
// Sec-Fetch-Site, a browser's User-Agent) or when its Host is neither a
// loopback name nor one of Options.Hosts: a page whose own name was made to
// resolve to 127.0.0.1 (DNS rebinding) still sends that name.
//
// With credentials every request must carry a valid AWS Signature Version 4, in
// the Authorization header or in the query (presigned). A page cannot make one.
package sqsserver
