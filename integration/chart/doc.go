// Package chart holds the Helm chart of examples/helm to what Kubernetes takes: it renders the
// chart by Helm's own packages with several sets of values, and reads what comes out strictly, by
// the types of Kubernetes' API and of the Prometheus operator. It is a module of its own, so that
// Helm is no dependency of the product's.
package chart
