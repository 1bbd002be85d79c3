package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

const (
	// defaultGrace is Kubernetes's own terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
	// graceMargin is between a worker's DrainTimeout and the pod's SIGKILL: for
	// giving back what was not finished.
	graceMargin = 5 * time.Second
)

// TemplateError is a template that makes no pod.
type TemplateError struct{ Msg string }

func (e *TemplateError) Error() string { return e.Msg }

// Render makes a pod of a pool: a function of its arguments alone. image is ours,
// whose binary runs in front of the user's command; queueURL is where messages
// come from. The name is given by the API server, behind the pool's.
func Render(pool *v1alpha1.WorkerPool, image, queueURL string) (*corev1.Pod, error) {
	const at = "spec.kubernetes.template"
	if pool.Spec.Kubernetes == nil {
		return nil, &TemplateError{"spec.kubernetes is missing"}
	}
	var t corev1.PodTemplateSpec
	if err := yaml.UnmarshalStrict(pool.Spec.Kubernetes.Template.Raw, &t); err != nil {
		return nil, &TemplateError{fmt.Sprintf("%s: %v", at, err)}
	}
	c, err := containerOf(pool.Spec.Kubernetes, &t.Spec)
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}
	r := renderer{pool: pool, pod: pod, main: &pod.Spec.Containers[c], port: freePort(&pod.Spec)}
	r.meta()
	r.addProgram(image)
	if err := r.command(queueURL); err != nil {
		return nil, err
	}
	r.control()
	return pod, nil
}

// containerOf is the index of the container that works on messages.
func containerOf(k *v1alpha1.WorkerKubernetes, spec *corev1.PodSpec) (int, error) {
	const at = "spec.kubernetes.template.spec.containers"
	if len(spec.Containers) == 0 {
		return 0, &TemplateError{at + " is empty"}
	}
	i := 0
	if k.Container != "" {
		i = slices.IndexFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == k.Container })
		if i < 0 {
			return 0, &TemplateError{fmt.Sprintf("spec.kubernetes.container: %s has no container %q", at, k.Container)}
		}
	}
	if len(spec.Containers[i].Command) == 0 {
		return 0, &TemplateError{fmt.Sprintf("%s[%d].command is missing: an image's own entry point can't be seen from here, and the worker is put before the command", at, i)}
	}
	return i, nil
}

// renderer adds to one pod.
type renderer struct {
	pool *v1alpha1.WorkerPool
	pod  *corev1.Pod
	main *corev1.Container
	port int32
}

// meta says whose pod it is.
func (r *renderer) meta() {
	m := &r.pod.ObjectMeta
	m.Name, m.GenerateName, m.Namespace = "", r.pool.Name+"-", r.pool.Namespace
	withoutOurs(m.Labels)
	withoutOurs(m.Annotations)
	set(&m.Labels, LabelPool, r.pool.Name)
	set(&m.Labels, LabelTemplateHash, v1alpha1.WorkerTemplateHash(&r.pool.Spec))
	set(&m.Annotations, annotationTerm, "0")
	setDefault(&m.Annotations, annotationContainer, r.main.Name)
	// Whether it is busy changes with every message; a write each time would cost
	// more than an idle worker that an autoscaler leaves until the pool retires it.
	setDefault(&m.Annotations, annotationSafeToEvict, "false")
	setDefault(&m.Annotations, annotationDoNotDisrupt, "true")
	if r.pool.UID != "" {
		m.OwnerReferences = []metav1.OwnerReference{ownedBy(r.pool)}
	}
	r.pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
}

// ownedBy makes a pool the owner. It is not blockOwnerDeletion: some clusters
// would want a right on the pool's finalizers for that, and the pool's own
// finalizer waits for its workers anyway.
func ownedBy(pool *v1alpha1.WorkerPool) metav1.OwnerReference {
	ref := metav1.NewControllerRef(pool, v1alpha1.GroupVersion.WithKind(v1alpha1.KindWorkerPool))
	ref.BlockOwnerDeletion = nil
	return *ref
}

// addProgram brings the binary into the pod.
func (r *renderer) addProgram(image string) {
	spec := &r.pod.Spec
	for _, name := range []string{programVolume, messageVolume} {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
	spec.InitContainers = append([]corev1.Container{{
		Name: InitContainer, Image: image,
		Command: []string{imageProgram, "copy-self", program},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
		}},
		VolumeMounts:    []corev1.VolumeMount{{Name: programVolume, MountPath: programDir + "-out"}},
		SecurityContext: besides(r.main.SecurityContext),
	}}, spec.InitContainers...)
	// Our image's own program is at the path where the volume is in the others.
	spec.InitContainers[0].Command[2] = programDir + "-out/queuemill"
	r.main.VolumeMounts = append(r.main.VolumeMounts,
		corev1.VolumeMount{Name: programVolume, MountPath: programDir, ReadOnly: true},
		corev1.VolumeMount{Name: messageVolume, MountPath: messageDir})
}

// besides is the user's container's own security context without what a copy of
// a file does not need: what lets that container into a namespace, a user, say, or
// a seccomp profile, lets the init container in too.
func besides(of *corev1.SecurityContext) *corev1.SecurityContext {
	s := &corev1.SecurityContext{}
	if of != nil {
		s = of.DeepCopy()
	}
	no, yes := false, true
	s.Privileged, s.ProcMount, s.AllowPrivilegeEscalation, s.ReadOnlyRootFilesystem = nil, nil, &no, &yes
	s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	return s
}

// command puts the worker before the user's command.
func (r *renderer) command(queueURL string) error {
	f := flags.FromPool(r.pool, queueURL)
	f.Command = slices.Concat(r.main.Command, r.main.Args)
	f.Control = fmt.Sprintf(":%d", r.port)
	f.TempDir = messageDir
	f.LogFormat = "json"
	grace := defaultGrace
	if s := r.pod.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	switch drain := r.pool.Spec.Worker.DrainTimeout; {
	case drain == nil:
		f.DrainTimeout = max(grace-graceMargin, time.Second)
	case r.pod.Spec.TerminationGracePeriodSeconds == nil:
		grace = drain.Duration + graceMargin
	case drain.Duration > grace:
		return &TemplateError{fmt.Sprintf("spec.worker.drainTimeout (%s) is over the template's terminationGracePeriodSeconds (%d): the pod would be killed before",
			v1alpha1.Human(drain.Duration), *r.pod.Spec.TerminationGracePeriodSeconds)}
	}
	seconds := int64((grace + time.Second - 1) / time.Second)
	r.pod.Spec.TerminationGracePeriodSeconds = &seconds
	if err := f.Check(); err != nil {
		return &TemplateError{fmt.Sprintf("spec.worker: %v", err)}
	}
	r.main.Command, r.main.Args = []string{program}, nil
	for _, arg := range f.Args() {
		r.main.Args = append(r.main.Args, escape(arg))
	}
	return nil
}

// escape keeps the kubelet from expanding $(NAME): the worker does, with the
// message's variables there (Kubernetes: "Define a Command and Arguments": $$).
func escape(arg string) string { return strings.ReplaceAll(arg, "$", "$$") }

// control opens the port at which the worker is asked, and lets the kubelet ask
// there too.
func (r *renderer) control() {
	c := r.main
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: portName, ContainerPort: r.port, Protocol: corev1.ProtocolTCP})
	optional := false
	c.Env = append(c.Env,
		corev1.EnvVar{Name: flags.HeldEnv, Value: "true"},
		corev1.EnvVar{Name: flags.TokenEnv, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: SecretName(r.pool.Name)}, Key: tokenKey, Optional: &optional,
		}}},
		corev1.EnvVar{Name: flags.IDEnv, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.uid"}}},
	)
	health := func(every, failures int32) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(r.port), Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds:    every,
			TimeoutSeconds:   10,
			FailureThreshold: failures,
		}
	}
	if c.ReadinessProbe == nil {
		c.ReadinessProbe = health(2, 5)
	}
	if c.LivenessProbe == nil {
		// A restart ends what the worker has in hand: only after five minutes of
		// being stuck, which no load explains.
		c.LivenessProbe = health(30, 10)
	}
}

// freePort is a port that no container of the pod says is its own.
func freePort(spec *corev1.PodSpec) int32 {
	taken := map[int32]bool{}
	for _, c := range spec.Containers {
		for _, p := range c.Ports {
			taken[p.ContainerPort] = true
		}
	}
	port := int32(firstPort)
	for taken[port] {
		port++
	}
	return port
}

// portOf is the worker's port in a pod of ours, 0 when it has none.
func portOf(pod *corev1.Pod) int32 {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == portName {
				return p.ContainerPort
			}
		}
	}
	return 0
}

// ours is what the keys that only Queuemill writes begin with.
const ours = "queuemill.dev/"

func withoutOurs(m map[string]string) {
	for key := range m {
		if strings.HasPrefix(key, ours) {
			delete(m, key)
		}
	}
}

func setDefault(m *map[string]string, key, value string) {
	if _, there := (*m)[key]; !there {
		set(m, key, value)
	}
}

func set(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}
