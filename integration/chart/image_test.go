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
