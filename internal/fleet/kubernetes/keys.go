package kubernetes

// What our pods and Secrets carry.
const (
	LabelPool         = "queuemill.dev/workerpool"
	LabelTemplateHash = "queuemill.dev/template-hash"

	// annotationTerm is how often the worker was told to go on; 0: it is held. One
	// that has no such annotation was started by an earlier version, and receives
	// from the start.
	annotationTerm = "queuemill.dev/term"

	annotationSafeToEvict  = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	annotationDoNotDisrupt = "karpenter.sh/do-not-disrupt"
	annotationContainer    = "kubectl.kubernetes.io/default-container"
)

// What is added to a pod.
const (
	// InitContainer is the container that brings the binary.
	InitContainer = "queuemill-worker"

	programVolume = "queuemill-program"
	programDir    = "/queuemill"
	program       = programDir + "/queuemill"
	messageVolume = "queuemill-messages"
	messageDir    = "/run/queuemill"

	imageProgram = "/queuemill" // in our image

	portName  = "queuemill"
	firstPort = 9484 // and on, where the template has taken it

	// tokenKey is the key of the pool's Secret that holds the control token.
	tokenKey = "token"
)
