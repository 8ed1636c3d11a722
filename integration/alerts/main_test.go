package alerts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestMain builds the product, which is another module.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "alerts")
	if err == nil && os.Getenv(kit.BinaryVariable) == "" {
		binary := filepath.Join(dir, "tailpost")
		build := exec.Command("go", "build", "-o", binary, "./cmd/tailpost")
		build.Dir, build.Stderr = filepath.Join("..", ".."), os.Stderr
		if err = build.Run(); err == nil {
			err = os.Setenv(kit.BinaryVariable, binary)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the product:", err)
		os.Exit(1)
	}
	code := m.Run()
	kit.Cleanup()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
