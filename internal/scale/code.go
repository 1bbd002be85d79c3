package scale

// Code is why Desired is what it is.
type Code string

const (
	Steady           Code = "steady"             // the policy wants what there is
	ScaleOut         Code = "scale-out"          // there are more from now on
	ScaleIn          Code = "scale-in"           // there are fewer from now on
	Limits           Code = "limits"             // min or max has moved it, as when a person edits them
	AtMin            Code = "at-min"             // the policy wants fewer than min
	AtMax            Code = "at-max"             // the policy wants more than max
	OutCooldown      Code = "scale-out-cooldown" // more are wanted, and the last scale-out is too recent
	InCooldown       Code = "scale-in-cooldown"  // fewer are wanted, and the last change is too recent
	HeldByBusy       Code = "busy"               // fewer are wanted, and those there are work
	HeldByIdleAfter  Code = "idle-after"         // none is wanted, and it has not been idle for long enough
	WaitingForStarts Code = "starting"           // a step adds to workers that are ready, and some are starting
)

// Codes is every Code there is, for the labels of a metric.
func Codes() []Code {
	return []Code{
		Steady, ScaleOut, ScaleIn, Limits, AtMin, AtMax, OutCooldown, InCooldown,
		HeldByBusy, HeldByIdleAfter, WaitingForStarts,
	}
}
