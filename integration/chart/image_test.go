package chart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// TestAnImageByItsDigest: it is pulled by the digest, and whatever the tag is, the label that has
// it is one that Kubernetes takes.
func TestAnImageByItsDigest(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for values, want := range map[string]struct{ image, version string }{
		"":                               {":0.1.0", "0.1.0"},
		"digest: " + digest:              {":0.1.0@" + digest, "0.1.0"},
		"tag: v1.2.3, digest: " + digest: {":v1.2.3@" + digest, "v1.2.3"},
		"tag: \"v1.2.3@" + digest + "\"": {":v1.2.3@" + digest, "v1.2.3"},
		"tag: _x-" + strings.Repeat("y", 60) + "-z": {":_x-" + strings.Repeat("y", 60) + "-z", "x-" + strings.Repeat("y", 60)},
		"tag: \"1.2:3+4\"":                          {":1.2:3+4", "1.2-3-4"},
	} {
		objects, err := render(t, "image: {repository: r.example.com/t, "+values+"}")
		require.NoError(t, err, values)
		deployment := objects["Deployment shop-tailpost"].(*appsv1.Deployment)
		migrate := objects["Job shop-tailpost-migrate"].(*batchv1.Job)
		require.Equal(t, "r.example.com/t"+want.image, deployment.Spec.Template.Spec.Containers[0].Image)
		require.Equal(t, "r.example.com/t"+want.image, migrate.Spec.Template.Spec.Containers[0].Image)
		for _, labels := range []map[string]string{deployment.Labels, deployment.Spec.Template.Labels, migrate.Labels} {
			require.Equal(t, want.version, labels["app.kubernetes.io/version"], values)
			require.Empty(t, validation.IsValidLabelValue(labels["app.kubernetes.io/version"]), values)
		}
	}
}

// TestAnAPIThatTheProbesDoNotReachIsRefused: such a pod would never be ready, and be restarted for
// ever.
func TestAnAPIThatTheProbesDoNotReachIsRefused(t *testing.T) {
	const database = "database {\n  url = env(\"DATABASE_URL\")\n}\n"
	api := func(listen string) string {
		return database + "\napi {\n  key \"ops\" {\n    secret = env(\"KEY\")\n  }\n  listen = \"" + listen + "\" # where\n}\n"
	}
	for config, why := range map[string]string{
		database: "no api block",
		database + "# api {\n#  listen = \":8080\"\n# }\n":    "no api block",
		database + "/* \napi {\n listen = \":8080\"\n}\n*/\n": "no api block",
		api("127.0.0.1:8080"):                                 "listen at 127.0.0.1:8080, where the pods' probes do not reach it: write api { listen = \":8080\"",
		database + "api {\n  key \"ops\" {\n    secret = env(\"KEY\")\n  }\n}\nmetrics {\n  listen = \":8080\"\n}\n": "does not say where the API listens",
		api("localhost:8080"): "localhost:8080, where",
		api("[::1]:8080"):     "[::1]:8080, where",
		api(":9090"):          "listen at :9090, and the pods' probes ask at port 8080",
		api(":18080"):         "listen at :18080, and",
		api(":8080"):          "",
		api("0.0.0.0:8080"):   "",
		database + "api {\n  a \"x\" {\n    b {\n    }\n  }\n  listen = \":8080\"\n}\n": "",
		api("[::]:8080"): "",
		"# api { listen = \"127.0.0.1:8080\" }\n" + api(":8080"):                                                                                 "",
		database + "api {\n  listen = env(\"LISTEN\")\n}\nendpoint \"a\" {\n url = \"https://a.example.com/*\" // listen = \"127.0.0.1:1\"\n}\n": "",
	} {
		_, err := render(t, "config: |\n  "+strings.ReplaceAll(config, "\n", "\n  "))
		if why == "" {
			require.NoError(t, err, config)
			continue
		}
		require.ErrorContains(t, err, why, config)
	}
	_, err := render(t, "service: {port: 9090}\nconfig: |\n  "+strings.ReplaceAll(api(":9090"), "\n", "\n  "))
	require.NoError(t, err)
}
