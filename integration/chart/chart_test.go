package chart_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const root = "../.."

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(filepath.Join(root, "examples", "helm", "tailpost"))
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	return c
}

// render renders the chart and returns its objects by kind and name. The error is of the schema or
// of a template.
func render(t *testing.T, values string) (map[string]any, error) {
	t.Helper()
	given, err := chartutil.ReadValues([]byte(values))
	require.NoError(t, err)
	c := load(t)
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "shop", Namespace: "prod", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	objects := make(map[string]any)
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			var head struct {
				APIVersion, Kind string
				Metadata         struct{ Name string }
			}
			require.NoError(t, yaml.Unmarshal([]byte(document), &head), "%s:\n%s", name, document)
			object := map[string]any{
				"v1 ConfigMap": new(corev1.ConfigMap), "v1 ServiceAccount": new(corev1.ServiceAccount), "v1 Service": new(corev1.Service),
				"apps/v1 Deployment": new(appsv1.Deployment), "batch/v1 Job": new(batchv1.Job),
				"policy/v1 PodDisruptionBudget": new(policyv1.PodDisruptionBudget), "networking.k8s.io/v1 NetworkPolicy": new(networkingv1.NetworkPolicy),
				"monitoring.coreos.com/v1 ServiceMonitor": new(monitoringv1.ServiceMonitor), "monitoring.coreos.com/v1 PrometheusRule": new(monitoringv1.PrometheusRule),
			}[head.APIVersion+" "+head.Kind]
			require.NotNil(t, object, "%s: a kind that this test does not know: %s", name, head.Kind)
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), object), "%s:\n%s", name, document)
			objects[head.Kind+" "+head.Metadata.Name] = object
		}
	}
	return objects, nil
}

func kinds(objects map[string]any) []string { return slices.Sorted(maps.Keys(objects)) }

func TestTheDefaultsRender(t *testing.T) {
	objects, err := render(t, "")
	require.NoError(t, err)
	require.Equal(t, []string{
		"ConfigMap shop-tailpost", "ConfigMap shop-tailpost-migrate", "Deployment shop-tailpost", "Job shop-tailpost-migrate",
		"NetworkPolicy shop-tailpost", "PodDisruptionBudget shop-tailpost", "Service shop-tailpost", "ServiceAccount shop-tailpost",
	}, kinds(objects))

	deployment := objects["Deployment shop-tailpost"].(*appsv1.Deployment)
	require.EqualValues(t, 2, *deployment.Spec.Replicas, "one stands by")
	pod := deployment.Spec.Template
	for _, selector := range []map[string]string{
		deployment.Spec.Selector.MatchLabels, objects["Service shop-tailpost"].(*corev1.Service).Spec.Selector,
		objects["PodDisruptionBudget shop-tailpost"].(*policyv1.PodDisruptionBudget).Spec.Selector.MatchLabels,
		objects["NetworkPolicy shop-tailpost"].(*networkingv1.NetworkPolicy).Spec.PodSelector.MatchLabels,
	} {
		require.NotEmpty(t, selector)
		for name, value := range selector {
			require.Equal(t, value, pod.Labels[name], name)
		}
	}
	require.EqualValues(t, 30, *pod.Spec.TerminationGracePeriodSeconds, "the grace, as long to record, and some")
	job := objects["Job shop-tailpost-migrate"].(*batchv1.Job)
	require.Equal(t, "pre-install,pre-upgrade", job.Annotations["helm.sh/hook"])
	require.Equal(t, []string{"migrate"}, job.Spec.Template.Spec.Containers[0].Args)
	require.NotEqual(t, pod.Labels["app.kubernetes.io/name"], job.Spec.Template.Labels["app.kubernetes.io/name"], "the service would lead to it")
	config := objects["ConfigMap shop-tailpost"].(*corev1.ConfigMap).Data
	require.Equal(t, config, objects["ConfigMap shop-tailpost-migrate"].(*corev1.ConfigMap).Data)
	require.Equal(t, load(t).Values["config"], config["tailpost.hcl"])
	for _, spec := range []corev1.PodSpec{pod.Spec, job.Spec.Template.Spec} {
		requireRestricted(t, &spec)
		require.Equal(t, "tailpost", spec.Containers[0].EnvFrom[0].SecretRef.Name)
		require.Equal(t, "/etc/tailpost", spec.Containers[0].VolumeMounts[0].MountPath)
		require.Equal(t, spec.Containers[0].VolumeMounts[0].Name, spec.Volumes[0].Name)
	}
	require.Contains(t, objects, "ConfigMap "+pod.Spec.Volumes[0].ConfigMap.Name)
	require.Contains(t, objects, "ConfigMap "+job.Spec.Template.Spec.Volumes[0].ConfigMap.Name)
}

// requireRestricted requires Kubernetes' restricted Pod Security Standard, and a root that is not
// writable.
func requireRestricted(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	require.True(t, *spec.SecurityContext.RunAsNonRoot)
	require.EqualValues(t, 65532, *spec.SecurityContext.RunAsUser, "as in the Dockerfile")
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type)
	require.False(t, *spec.AutomountServiceAccountToken)
	require.Len(t, spec.Containers, 1)
	c := spec.Containers[0].SecurityContext
	require.False(t, *c.AllowPrivilegeEscalation)
	require.True(t, *c.ReadOnlyRootFilesystem)
	require.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
	require.NotEmpty(t, spec.Containers[0].Resources.Limits)
}

func TestEverythingRenders(t *testing.T) {
	objects, err := render(t, `
image: {repository: ghcr.io/tailpost/tailpost, tag: v0.1.0, pullPolicy: Always}
imagePullSecrets: [{name: pull}]
replicas: 3
existingSecret: relay
migrate: {existingSecret: owner}
graceSeconds: 20
networkPolicy:
  ingressFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  databasePort: 6432
  egressPorts: [443, 8443]
serviceMonitor: {enabled: true, interval: 15s, authorization: {secret: api, key: prometheus}}
prometheusRule: {enabled: true, labels: {release: kube-prometheus}}
serviceAccount: {create: false, name: theirs}
extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318"}]
extraVolumes: [{name: ca, secret: {secretName: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/ssl/own, readOnly: true}]
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {disk: ssd}
tolerations: [{key: k, operator: Exists}]
affinity: {podAntiAffinity: {}}
priorityClassName: high
`)
	require.NoError(t, err)
	require.NotContains(t, objects, "ServiceAccount theirs")
	deployment := objects["Deployment shop-tailpost"].(*appsv1.Deployment).Spec.Template.Spec
	require.Equal(t, "ghcr.io/tailpost/tailpost:v0.1.0", deployment.Containers[0].Image)
	require.Equal(t, []string{"run", "--grace=20s"}, deployment.Containers[0].Args)
	require.Equal(t, "theirs", deployment.ServiceAccountName)
	require.Len(t, deployment.Volumes, 2)
	migrate := objects["Job shop-tailpost-migrate"].(*batchv1.Job).Spec.Template.Spec
	require.Equal(t, "owner", migrate.Containers[0].EnvFrom[0].SecretRef.Name)
	// What the database's address names, a CA for example, migrate needs as much as the relay.
	require.Equal(t, deployment.Volumes[1], migrate.Volumes[1])
	require.Equal(t, deployment.Containers[0].VolumeMounts[1], migrate.Containers[0].VolumeMounts[1])
	require.Equal(t, "OTEL_EXPORTER_OTLP_ENDPOINT", migrate.Containers[0].Env[0].Name)
	monitor := objects["ServiceMonitor shop-tailpost"].(*monitoringv1.ServiceMonitor)
	require.Equal(t, "api", monitor.Spec.Endpoints[0].Authorization.Credentials.Name)
	require.Len(t, objects["NetworkPolicy shop-tailpost"].(*networkingv1.NetworkPolicy).Spec.Egress[1].Ports, 3)

	rules, err := os.ReadFile(filepath.Join(root, "examples", "prometheus", "tailpost.rules.yaml"))
	require.NoError(t, err)
	var want monitoringv1.PrometheusRuleSpec
	require.NoError(t, yaml.UnmarshalStrict(rules, &want))
	require.Equal(t, want, objects["PrometheusRule shop-tailpost"].(*monitoringv1.PrometheusRule).Spec, "the chart's copy of the rules")
}

// TestAFanoutRenders: the block is in the configuration, its secrets are in the environment, and
// NATS is let through. A relay can read what comes of it.
func TestAFanoutRenders(t *testing.T) {
	const config = "database {\n  url = env(\"DATABASE_URL\")\n}\n\napi {\n  listen = \":8080\"\n  key \"ops\" {\n    secret = env(\"TAILPOST_API_KEY\")\n  }\n}\n\nendpoint \"erp\" {\n  url    = \"https://erp.example.com\"\n  secret = env(\"ERP_SECRET\")\n}"
	for name, c := range map[string]struct {
		fanout, secret string
		keys           []string
		want           string
	}{
		"least": {
			"fanout: {enabled: true}", "tailpost",
			[]string{"NATS_URL"},
			"fanout \"nats\" {\n  url        = env(\"TAILPOST_NATS_URL\")\n  partitions = 16\n  replicas   = 3\n}\n",
		},
		"all": {
			"fanout: {enabled: true, existingSecret: nats, urlKey: url, credentialsKey: creds, partitions: 32, replicas: 5, port: 4333}", "nats",
			[]string{"url", "creds"},
			"fanout \"nats\" {\n  url        = env(\"TAILPOST_NATS_URL\")\n  partitions = 32\n  replicas   = 5\n\n  credentials = env(\"TAILPOST_NATS_CREDENTIALS\")\n}\n",
		},
	} {
		objects, err := render(t, c.fanout+"\nconfig: |-\n  "+strings.ReplaceAll(config, "\n", "\n  "))
		require.NoError(t, err, name)
		text := objects["ConfigMap shop-tailpost"].(*corev1.ConfigMap).Data["tailpost.hcl"]
		require.Equal(t, config+"\n\n"+c.want, text, name)
		require.Equal(t, text, objects["ConfigMap shop-tailpost-migrate"].(*corev1.ConfigMap).Data["tailpost.hcl"], name)
		var keys []string
		env := append(os.Environ(), "DATABASE_URL=postgres://u@db/app", "ERP_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "TAILPOST_API_KEY=0123456789abcdef0123456789abcdef")
		for _, e := range objects["Deployment shop-tailpost"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Env {
			if e.ValueFrom == nil {
				continue
			}
			keys = append(keys, e.ValueFrom.SecretKeyRef.Key)
			require.Equal(t, c.secret, e.ValueFrom.SecretKeyRef.Name, name)
			env = append(env, e.Name+"="+map[string]string{"TAILPOST_NATS_URL": "nats://n1,nats://n2", "TAILPOST_NATS_CREDENTIALS": "BEGIN NATS USER JWT BEGIN USER NKEY SEED"}[e.Name])
		}
		require.Equal(t, c.keys, keys, name)
		ports := objects["NetworkPolicy shop-tailpost"].(*networkingv1.NetworkPolicy).Spec.Egress[1].Ports
		require.Len(t, ports, 3, name)
		require.EqualValues(t, map[string]int32{"least": 4222, "all": 4333}[name], ports[1].Port.IntVal)

		path := filepath.Join(t.TempDir(), "tailpost.hcl")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		check := exec.CommandContext(t.Context(), "go", "run", "./cmd/tailpost", "check", "-c", path)
		check.Dir, check.Env = root, env
		out, err := check.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
	}
}

func TestTheLeastRenders(t *testing.T) {
	objects, err := render(t, "replicas: 1\nmigrate: {enabled: false}\nnetworkPolicy: {enabled: false}\npodDisruptionBudget: {enabled: true}\n")
	require.NoError(t, err)
	require.Equal(t, []string{"ConfigMap shop-tailpost", "Deployment shop-tailpost", "Service shop-tailpost", "ServiceAccount shop-tailpost"}, kinds(objects),
		"a budget of one pod would hold up every drain")
}

func TestWrongValuesAreRefused(t *testing.T) {
	for values, why := range map[string]string{
		"replicas: 0":                            "replicas",
		"replica: 2":                             "replica",
		"existingSecret: \"\"":                   "existingSecret",
		"goMemLimit: 1GB":                        "goMemLimit",
		"image: {repository: r, digest: latest}": "digest",
		"fanout: {replicas: 2}":                  "/fanout/replicas",
		"fanout: {partitions: 257}":              "/fanout/partitions",
		"fanout: {url: nats://n1}":               "'url'",
		"networkPolicy: {egressPorts: [x]}":      "egressPorts",
		"serviceMonitor: {enabled: true}":        "serviceMonitor.authorization.secret",
	} {
		_, err := render(t, values)
		require.ErrorContains(t, err, why, values)
	}
}
