// Package scaletarget sets the replicas of a Deployment that somebody else made,
// for a WorkerPool with spec.scaleTargetRef.
//
// The Deployment is read and written at the API server itself: with a cache that
// lags, two decisions in a row would be made on the same old number. Writes go
// through the scale subresource, with the field manager "queuemill".
//
// The invariant: one writer. Replicas that an HPA, a KEDA ScaledObject or an
// older WorkerPool scales as well are refused, for two autoscalers that set one
// number take turns for ever. A deploy tool that writes the number at each deploy
// is told of, not refused: it is a nuisance, and the next look mends it.
package scaletarget
