package integration_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/relay/signature"
)

type kubeMeta struct {
	Name   string
	Labels map[string]string
}

type kubeConfigMap struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   kubeMeta
	Data       map[string]string
}

type kubeDeployment struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   kubeMeta
	Spec       struct {
		Replicas int
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Template struct {
			Metadata kubeMeta
			Spec     kubePod
		}
	}
}

type kubePod struct {
	AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
	TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot   bool `yaml:"runAsNonRoot"`
		SeccompProfile struct {
			Type string
		} `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	InitContainers []kubeContainer `yaml:"initContainers"`
	Containers     []kubeContainer
	Volumes        []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
	}
}

type kubeContainer struct {
	Name          string
	Image         string
	Args          []string
	RestartPolicy string `yaml:"restartPolicy"`
	Env           []struct {
		Name      string
		Value     string
		ValueFrom struct {
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe  kubeProbe `yaml:"startupProbe"`
	LivenessProbe kubeProbe `yaml:"livenessProbe"`
	VolumeMounts  []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
	Resources struct {
		Requests map[string]string
		Limits   map[string]string
	}
	SecurityContext struct {
		RunAsUser                int   `yaml:"runAsUser"`
		RunAsGroup               int   `yaml:"runAsGroup"`
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
}

type kubeProbe struct {
	HTTPGet struct {
		Path string
		Port string
	} `yaml:"httpGet"`
	PeriodSeconds    int `yaml:"periodSeconds"`
	TimeoutSeconds   int `yaml:"timeoutSeconds"`
	FailureThreshold int `yaml:"failureThreshold"`
}

// container is the container with the given contents of the Secret.
func (c *kubeContainer) container(t *testing.T, secret map[string]string) container {
	t.Helper()
	env := make(map[string]string)
	for _, variable := range c.Env {
		env[variable.Name] = variable.Value
		if ref := variable.ValueFrom.SecretKeyRef; ref.Key != "" {
			require.Equal(t, "shop", ref.Name)
			require.Contains(t, secret, ref.Key)
			env[variable.Name] = secret[ref.Key]
		}
		require.NotEmpty(t, env[variable.Name], variable.Name)
	}
	return container{args: c.Args, env: env}
}

// requireRestricted requires what Kubernetes' restricted Pod Security Standard asks of a container,
// and a root that is not writable.
func (c *kubeContainer) requireRestricted(t *testing.T) {
	t.Helper()
	s := &c.SecurityContext
	require.NotZero(t, s.RunAsUser, c.Name)
	require.NotNil(t, s.AllowPrivilegeEscalation, c.Name)
	require.False(t, *s.AllowPrivilegeEscalation, c.Name)
	require.True(t, s.ReadOnlyRootFilesystem, c.Name)
	require.Equal(t, []string{"ALL"}, s.Capabilities.Drop, c.Name)
	require.Contains(t, c.Resources.Requests, "cpu", c.Name)
	require.Contains(t, c.Resources.Requests, "memory", c.Name)
	require.Contains(t, c.Resources.Limits, "memory", c.Name)
}

// secretKeys are those of the Secret that the README has the reader create.
func secretKeys(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(kit.Root(), "examples", "README.md"))
	require.NoError(t, err)
	_, command, found := strings.Cut(string(text), "kubectl create secret generic shop ")
	require.True(t, found)
	command, _, _ = strings.Cut(command, "```")
	var keys []string
	for _, match := range regexp.MustCompile(`--from-literal=([a-z-]+)=`).FindAllStringSubmatch(command, -1) {
		keys = append(keys, match[1])
	}
	return keys
}

// TestKubernetesExample runs what the containers would, in the environment that they would have,
// without a cluster.
func TestKubernetesExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(kit.Root(), "examples", "kubernetes", "sidecar.yaml"))
	require.NoError(t, err)
	var (
		configMap  kubeConfigMap
		deployment kubeDeployment
	)
	decodeYAML(t, string(text), &configMap, &deployment)
	pod := &deployment.Spec.Template.Spec
	require.Len(t, pod.InitContainers, 2)
	migrate, sidecar := &pod.InitContainers[0], &pod.InitContainers[1]
	requirePod(t, &deployment, &configMap)

	dir := t.TempDir()
	path := filepath.Join(dir, "tailpost.hcl")
	require.Equal(t, []string{"tailpost.hcl"}, slices.Collect(maps.Keys(configMap.Data)), "the name that the image looks for")
	kit.WriteFile(t, path, configMap.Data["tailpost.hcl"])
	db := ownDatabase(t, pgserver.FastSettings(), "shop")
	secret := map[string]string{
		"database-url": db.URL, "erp-secret": signature.GenerateSecret(), "tailpost-api-key": signature.GenerateSecret(),
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(secret)), secretKeys(t), "what the README puts into the Secret")
	relay := sidecar.container(t, secret)
	relay.requireValid(t, dir)
	relay.requireNeedsAll(t, dir)
	migrate.container(t, secret).requireNeedsAll(t, dir)

	migrated := kit.Run(t, migrate.container(t, secret).in(dir))
	require.Zero(t, migrated.ExitCode(), migrated.Output())
	port := fmt.Sprintf("%q", fmt.Sprintf(":%d", sidecar.Ports[0].ContainerPort))
	rewrite(t, path, port, `"127.0.0.1:0"`)
	running := relay.start(t, dir)
	running.Await(t, kit.LogDelivering, nil)
	address := fmt.Sprint("http://", running.Await(t, "the API listens", nil)["address"])
	for _, probe := range []kubeProbe{sidecar.StartupProbe, sidecar.LivenessProbe} {
		require.Equal(t, sidecar.Ports[0].Name, probe.HTTPGet.Port)
		require.Equal(t, http.StatusOK, get(t, address+probe.HTTPGet.Path), "a probe has no key")
	}
	require.Equal(t, http.StatusUnauthorized, get(t, address+"/v1/endpoints"), "the rest needs one")
	standby := relay.start(t, dir)
	standby.Await(t, kit.LogStandby, nil)
	require.Zero(t, running.Stop(t))
	standby.Await(t, kit.LogDelivering, nil)
	require.Zero(t, standby.Stop(t))
}

// requirePod requires of the manifest what no run shows.
func requirePod(t *testing.T, deployment *kubeDeployment, configMap *kubeConfigMap) {
	t.Helper()
	require.Equal(t, "v1 ConfigMap, apps/v1 Deployment",
		configMap.APIVersion+" "+configMap.Kind+", "+deployment.APIVersion+" "+deployment.Kind)
	require.Equal(t, deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Metadata.Labels)
	require.Greater(t, deployment.Spec.Replicas, 1)
	pod := &deployment.Spec.Template.Spec
	require.True(t, pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, "RuntimeDefault", pod.SecurityContext.SeccompProfile.Type)
	require.NotNil(t, pod.AutomountServiceAccountToken)
	require.False(t, *pod.AutomountServiceAccountToken)
	require.Len(t, pod.Volumes, 1)
	require.Equal(t, configMap.Metadata.Name, pod.Volumes[0].ConfigMap.Name)

	migrate, sidecar := &pod.InitContainers[0], &pod.InitContainers[1]
	require.Empty(t, migrate.RestartPolicy)
	require.Equal(t, "Always", sidecar.RestartPolicy, "that makes it a sidecar")
	require.Equal(t, migrate.Image, sidecar.Image)
	image := readDockerfile(t)
	for _, c := range []*kubeContainer{migrate, sidecar} {
		require.Equal(t, image["USER"], fmt.Sprintf("%d:%d", c.SecurityContext.RunAsUser, c.SecurityContext.RunAsGroup))
		require.Len(t, c.VolumeMounts, 1)
		require.Equal(t, pod.Volumes[0].Name, c.VolumeMounts[0].Name)
		require.Equal(t, image["WORKDIR"], c.VolumeMounts[0].MountPath)
		require.True(t, c.VolumeMounts[0].ReadOnly)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		c.requireRestricted(t)
	}

	grace, err := time.ParseDuration(strings.TrimPrefix(sidecar.Args[1], "--grace="))
	require.NoError(t, err)
	const application = 15 * time.Second // as the comment in the manifest says
	require.GreaterOrEqual(t, time.Duration(pod.TerminationGracePeriodSeconds)*time.Second, application+grace+drainTime)
}
