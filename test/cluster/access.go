package cluster

import (
	"context"
	"fmt"
	"os"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long a ServiceAccount's token is good for: longer than
// any test.
const tokenSeconds int64 = 24 * 60 * 60

// config is the administrator's or another one's by certificate.
func (c *Cluster) config(id identity) *rest.Config {
	return &rest.Config{
		Host:            "https://127.0.0.1:" + c.port.String(),
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.ca.file, CertFile: id.cert, KeyFile: id.key},
		QPS:             -1,
	}
}

// ConfigFor is what a pod of that ServiceAccount has: its token, and so the
// rights that RBAC gives it and no others. The ServiceAccount must be there.
func (c *Cluster) ConfigFor(ctx context.Context, namespace, serviceAccount string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	seconds := tokenSeconds
	answer, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, serviceAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token of ServiceAccount %s/%s: %w", namespace, serviceAccount, err)
	}
	return &rest.Config{
		Host:            "https://127.0.0.1:" + c.port.String(),
		BearerToken:     answer.Status.Token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.ca.file},
		QPS:             -1,
	}, nil
}

// KubeconfigFor is ConfigFor as a file, for programs. The namespace is its
// context's. It goes with the cluster.
func (c *Cluster) KubeconfigFor(ctx context.Context, namespace, serviceAccount string) (string, error) {
	config, err := c.ConfigFor(ctx, namespace, serviceAccount)
	if err != nil {
		return "", err
	}
	path := c.path(fmt.Sprintf("kubeconfig-%s-%s", namespace, serviceAccount))
	return path, c.writeContext(path, serviceAccount, namespace, &api.AuthInfo{Token: config.BearerToken})
}

// writeKubeconfig writes one that needs no other file.
func (c *Cluster) writeKubeconfig(path string, id identity) error {
	cert, err := os.ReadFile(id.cert)
	if err != nil {
		return fmt.Errorf("write a kubeconfig: %w", err)
	}
	key, err := os.ReadFile(id.key)
	if err != nil {
		return fmt.Errorf("write a kubeconfig: %w", err)
	}
	return c.writeContext(path, "admin", "", &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
}

func (c *Cluster) writeContext(path, user, namespace string, auth *api.AuthInfo) error {
	ca, err := os.ReadFile(c.ca.file)
	if err != nil {
		return fmt.Errorf("write a kubeconfig: %w", err)
	}
	const name = "queuemill-test"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: "https://127.0.0.1:" + c.port.String(), CertificateAuthorityData: ca}
	config.AuthInfos[user] = auth
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: user, Namespace: namespace}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write a kubeconfig: %w", err)
	}
	return nil
}
