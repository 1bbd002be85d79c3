package chaos

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// delivered is what the first container of a pod would be given by a kubelet.
type delivered struct {
	env   map[string]string
	args  []string          // command and args
	files map[string]string // by path
}

// delivered reads the one pod of a Job as a kubelet does (Kubernetes API
// reference: EnvVar, Container.args; DownwardAPIVolumeFile, KeyToPath).
func (w *world) delivered(job *batchv1.Job) delivered {
	w.t.Helper()
	pods, err := w.client.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job.Name})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		w.t.Fatalf("job %s has %d pods, want 1", job.Name, len(pods.Items))
	}
	pod := &pods.Items[0]
	c := &pod.Spec.Containers[0]
	d := delivered{env: map[string]string{}, files: map[string]string{}}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			d.env[e.Name] = expand(e.Value, d.env)
		case e.ValueFrom.SecretKeyRef != nil:
			d.env[e.Name] = w.secret(e.ValueFrom.SecretKeyRef.Name)[e.ValueFrom.SecretKeyRef.Key]
		default:
			w.t.Fatalf("variable %s comes from something that this reader does not know", e.Name)
		}
	}
	for _, a := range append(append([]string{}, c.Command...), c.Args...) {
		d.args = append(d.args, expand(a, d.env))
	}
	for _, m := range c.VolumeMounts {
		for _, v := range pod.Spec.Volumes {
			if v.Name == m.Name {
				w.readVolume(pod, m.MountPath, &v, d.files)
			}
		}
	}
	return d
}

func (w *world) secret(name string) map[string]string {
	w.t.Helper()
	s, err := w.client.CoreV1().Secrets(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	data := map[string]string{}
	for k, v := range s.Data {
		data[k] = string(v)
	}
	return data
}

// readVolume adds the files that the message came in.
func (w *world) readVolume(pod *corev1.Pod, mount string, v *corev1.Volume, files map[string]string) {
	var sources []corev1.VolumeProjection
	switch {
	case v.Projected != nil:
		sources = v.Projected.Sources
	case v.DownwardAPI != nil:
		sources = []corev1.VolumeProjection{{DownwardAPI: &corev1.DownwardAPIProjection{Items: v.DownwardAPI.Items}}}
	}
	for _, s := range sources {
		if s.DownwardAPI != nil {
			for _, f := range s.DownwardAPI.Items {
				key := strings.TrimSuffix(strings.TrimPrefix(f.FieldRef.FieldPath, "metadata.annotations['"), "']")
				files[mount+"/"+f.Path] = pod.Annotations[key]
			}
		}
		if s.Secret != nil {
			data := w.secret(s.Secret.Name)
			for _, f := range s.Secret.Items {
				files[mount+"/"+f.Path] = data[f.Key]
			}
		}
	}
}

// expand is Kubernetes' expansion: $(NAME) is the value of a variable that was
// set before, $$ is $, and what names no variable stays as it is.
func expand(text string, env map[string]string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		switch next := text[i+1]; next {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(text[i+2:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name := text[i+2 : i+2+end]
			if value, ok := env[name]; ok {
				b.WriteString(value)
			} else {
				b.WriteString("$(" + name + ")")
			}
			i += 2 + end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}
