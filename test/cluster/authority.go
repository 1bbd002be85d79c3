package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is longer than any cluster runs.
const validity = 365 * 24 * time.Hour

// identity is a certificate and its key, by the paths of their PEM files.
type identity struct {
	cert, key string
}

// authority signs what the cluster's parts know each other by.
type authority struct {
	dir      string
	file     string // its certificate's PEM
	cert     *x509.Certificate
	key      *ecdsa.PrivateKey
	serving  identity // the API server's
	admin    identity // of system:masters
	accounts identity // the key that signs ServiceAccounts' tokens, without a certificate
}

// newAuthority makes a certificate authority with the identities every cluster
// needs; their files are in dir. The API server is known by serviceIP too.
func newAuthority(dir, serviceIP string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	a := &authority{dir: dir, file: filepath.Join(dir, "ca.crt"), key: key}
	template := certificate("queuemill-test-cluster")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	if err := writePEM(a.file, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	if a.serving, err = a.server("apiserver", []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, net.IPv4(127, 0, 0, 1), net.ParseIP(serviceIP)); err != nil {
		return nil, err
	}
	if a.admin, err = a.client("admin", "admin", "system:masters"); err != nil {
		return nil, err
	}
	a.accounts.key = filepath.Join(dir, "accounts.key")
	_, err = newKey(a.accounts.key)
	return a, err
}

// certificate is what all certificates here have in common.
func certificate(name string, organizations ...string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: organizations},
		NotBefore:    now.Add(-time.Hour), // a clock that steps back
		NotAfter:     now.Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// server issues a certificate for a server under these names and addresses.
func (a *authority) server(file string, names []string, ips ...net.IP) (identity, error) {
	template := certificate(file)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames, template.IPAddresses = names, ips
	return a.issue(file, template)
}

// client issues a certificate by which the API server knows user, a member of
// groups.
func (a *authority) client(file, user string, groups ...string) (identity, error) {
	template := certificate(user, groups...)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(file, template)
}

func (a *authority) issue(file string, template *x509.Certificate) (identity, error) {
	id := identity{cert: filepath.Join(a.dir, file+".crt"), key: filepath.Join(a.dir, file+".key")}
	key, err := newKey(id.key)
	if err != nil {
		return identity{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return identity{}, fmt.Errorf("issue a certificate for %s: %w", template.Subject.CommonName, err)
	}
	return id, writePEM(id.cert, "CERTIFICATE", der)
}

// newKey makes a key and writes it to path.
func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, writePEM(path, "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("write a %s: %w", kind, err)
	}
	return nil
}
