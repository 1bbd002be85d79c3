package install

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// configDir is where the ConfigMap is mounted.
const configDir = "/etc/queuemill"

// user is the image's own: nobody's on any machine.
const user = 65532

// workload is what runs, beside what guards it.
func workload(namespace, image string, args []string) []part {
	return []part{
		{"Two replicas: one leads, the other takes over within 5 s.", deployment(namespace, image, args)},
		{"A drain leaves one of the two.", &policyv1.PodDisruptionBudget{
			TypeMeta: typeMeta("policy/v1", "PodDisruptionBudget"), ObjectMeta: meta(namespace, Name),
			Spec: policyv1.PodDisruptionBudgetSpec{
				MaxUnavailable: new(intstr.FromInt32(1)),
				Selector:       &metav1.LabelSelector{MatchLabels: labels()},
			},
		}},
		{
			"In: metrics and probes. Out: DNS, HTTPS (the API server, SQS, STS), the EKS Pod Identity agent and the workers of pools.\n" +
				"A queue's endpoint on another port needs a policy of its own beside this one: policies add up.",
			networkPolicy(namespace),
		},
	}
}

func deployment(namespace, image string, args []string) *appsv1.Deployment {
	pod := corev1.PodSpec{
		ServiceAccountName:            Name,
		TerminationGracePeriodSeconds: new(int64(30)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
			spread(corev1.LabelHostname), spread(corev1.LabelTopologyZone),
		},
		NodeSelector: map[string]string{corev1.LabelOSStable: "linux"},
		Containers:   []corev1.Container{container(image, args)},
	}
	if namespace == Namespace {
		// The list is a person's. Without it no queue is allowed.
		pod.Volumes = []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: ConfigMap}, Optional: new(true),
			},
		}}}
		pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: configDir, ReadOnly: true}}
	}
	return &appsv1.Deployment{
		TypeMeta: typeMeta("apps/v1", "Deployment"), ObjectMeta: meta(namespace, Name),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: labels()},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels()}, Spec: pod},
		},
	}
}

func container(image string, args []string) corev1.Container {
	limits := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}
	return corev1.Container{
		Name: "controller", Image: image, Args: args,
		Env: []corev1.EnvVar{
			{Name: "POD_NAMESPACE", ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}},
			{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{
				ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"},
			}},
		},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: metricsPort, Protocol: corev1.ProtocolTCP}},
		// No limit of CPU: throttled it would lose its lease.
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
			},
			Limits: limits,
		},
		StartupProbe:   probe("/healthz", 2, 30),
		LivenessProbe:  probe("/healthz", 10, 6),
		ReadinessProbe: probe("/readyz", 5, 2),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, TimeoutSeconds: 5, FailureThreshold: failures,
	}
}

func spread(key string) corev1.TopologySpreadConstraint {
	return corev1.TopologySpreadConstraint{
		MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: labels()},
	}
}

func networkPolicy(namespace string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta: typeMeta("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: meta(namespace, Name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: labels()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: ports(corev1.ProtocolTCP, metricsPort)}},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{Ports: append(ports(corev1.ProtocolUDP, 53), ports(corev1.ProtocolTCP, 53)...)},
				{Ports: ports(corev1.ProtocolTCP, 443, 6443)},
				{
					To: []networkingv1.NetworkPolicyPeer{
						{IPBlock: &networkingv1.IPBlock{CIDR: "169.254.170.23/32"}},
						{IPBlock: &networkingv1.IPBlock{CIDR: "fd00:ec2::23/128"}},
					},
					Ports: ports(corev1.ProtocolTCP, 80),
				},
				{To: []networkingv1.NetworkPolicyPeer{workers(namespace)}, Ports: workerPorts()},
			},
		},
	}
}

// workers are the pods of the WorkerPools that a controller in namespace serves.
func workers(namespace string) networkingv1.NetworkPolicyPeer {
	peer := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: workerLabel, Operator: metav1.LabelSelectorOpExists}},
	}}
	if namespace == Namespace {
		peer.NamespaceSelector = &metav1.LabelSelector{}
	}
	return peer
}

// workerPorts are where a worker is asked: the first that its template leaves
// free.
func workerPorts() []networkingv1.NetworkPolicyPort {
	list := ports(corev1.ProtocolTCP, 9484)
	list[0].EndPort = new(int32(9499))
	return list
}

func ports(protocol corev1.Protocol, numbers ...int32) []networkingv1.NetworkPolicyPort {
	var list []networkingv1.NetworkPolicyPort
	for _, number := range numbers {
		list = append(list, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt32(number))})
	}
	return list
}
