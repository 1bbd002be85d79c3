// Package kubernetes runs jobs as batch/v1 Jobs, which are the records too:
// nothing is kept anywhere else.
//
// # Objects
//
// An attempt is a Job; a record is all Jobs with its identity label in its
// namespace. The first Job has the record's name R, and whoever makes it has
// made the record: the API server lets a name be taken once. Later ones are R-2,
// R-3, … by slot:
//
//	slot 1   R      attempt 1                         or an Invalid record, which no controller runs
//	slot 2   R-2    attempt 2, after a retry          or attempt 1, read anew
//
// The record's UID is that of its first Job; later ones carry it. What is
// written on a record later (a receipt, a request to retry or prune) stands on
// the Job of its highest slot: a new attempt has none of it, so that starting it
// takes the request back without a write.
//
// A small message costs one write, the Job's create. Its body is an annotation
// of the Job, and its payload an annotation of the pod, which a downward API
// volume makes a file of, byte for byte. What is over 4 KiB, confidential, or
// not UTF-8 stands in an immutable Secret instead, made before the Job. It is
// owned by the QueueJob until the Job owns it, so that nothing of it is left
// when the controller dies in between; nobody needs to list Secrets.
//
// # What a container gets
//
// Every container and init container has the message's files under
// /run/queuemill (QUEUEMILL_MESSAGE_FILE, QUEUEMILL_ATTRIBUTES_FILE) and its
// variables before its own env. Of a name that both have the container's stands
// alone. envFrom can't be looked into, and in Kubernetes env wins over it: a
// variable of the message does too. It also wins over those that Kubernetes sets
// (HOSTNAME, KUBERNETES_SERVICE_HOST, NAME_SERVICE_HOST): message.env names it,
// so its author wants that; a message chooses no names but behind
// QUEUEMILL_ATTR_. Ephemeral containers get nothing. In literal values every $ is
// doubled, which the kubelet's expansion of $(NAME) takes back; values from a
// Secret it does not expand.
//
// # What is seen
//
// Reads that decide something are live: Get, List, and Create's look at what
// exists already. What is only told (Watch) comes from a tracker, which keeps a
// few hundred bytes of each Job and pod and never a body or a template.
//
// A Job's pods go before it does, so the leader gathers why it failed as soon as
// it fails, or can't start, and writes it on the Job: see Lead.
package kubernetes
