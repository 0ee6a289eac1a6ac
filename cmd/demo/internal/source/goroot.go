package source

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// goCommandTimeout bounds the question to the go command, and then the reading of its answer, on a machine that has little time for it.
const goCommandTimeout = time.Minute

// goroots lists where Go may be installed, best first: what the go command says, and the environment. None is promised to exist.
func goroots(ctx context.Context) []string {
	var roots []string
	add := func(root string) {
		if root = strings.TrimSpace(root); root != "" && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	add(askGo(ctx))
	add(os.Getenv("GOROOT"))
	return roots
}

// askGo runs "go env GOROOT" away from any module, and forbids it to fetch another toolchain. It answers "" if it cannot.
func askGo(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, goCommandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "env", "GOROOT")
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOWORK=off")
	cmd.WaitDelay = goCommandTimeout
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}
