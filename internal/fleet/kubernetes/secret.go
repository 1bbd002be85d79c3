package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SecretName is the name of a pool's Secret: its workers' control token.
func SecretName(pool string) string { return pool + "-workers" }

// errForeignSecret: somebody else has a Secret of the pool's name.
var errForeignSecret = errors.New("is not this WorkerPool's: delete or rename it, it would be handed to workers as their token")

// token is what the pool's workers know their controller by.
func (f *Fleet) token(ctx context.Context) (string, error) {
	f.mu.Lock()
	token := f.known
	f.mu.Unlock()
	if token != "" {
		return token, nil
	}
	return f.secret(ctx)
}

// secret returns the token of the pool's Secret, which is made when it is not
// there: with the token that is known, when somebody deleted it. It is read by its
// name alone, belongs to the pool and goes with it.
func (f *Fleet) secret(ctx context.Context) (string, error) {
	f.mu.Lock()
	token := f.known
	f.mu.Unlock()
	if token == "" {
		token = rand.Text()
	}
	name := SecretName(f.pool.Name)
	secrets := f.client.CoreV1().Secrets(f.pool.Namespace)
	s, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		immutable := true
		s, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: f.pool.Namespace, Labels: map[string]string{LabelPool: f.pool.Name},
				OwnerReferences: []metav1.OwnerReference{ownedBy(f.pool)},
			},
			Immutable: &immutable, Type: corev1.SecretTypeOpaque,
			Data: map[string][]byte{tokenKey: []byte(token)},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // another controller's
			s, err = secrets.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return "", fmt.Errorf("token of the workers: %w", err)
	}
	// Of an earlier pool of this name, which the garbage collector has not come
	// to, or of somebody else.
	if owner := metav1.GetControllerOf(s); owner == nil || owner.UID != f.pool.UID || len(s.Data[tokenKey]) == 0 {
		return "", fmt.Errorf("token of the workers: Secret %s/%s %w", f.pool.Namespace, name, errForeignSecret)
	}
	f.mu.Lock()
	f.known = string(s.Data[tokenKey])
	f.mu.Unlock()
	return string(s.Data[tokenKey]), nil
}
