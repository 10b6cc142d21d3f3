// Package built gives tests a program of this module as users run it. It is linked once for all packages that ask, and
// not again before it changes: `go run` keeps what it links in the build cache, `go build` does not.
package built

import (
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
)

// Penstock is the package of the program.
const Penstock = "github.com/penstock-ml/penstock/cmd/penstock"

// Into puts the program of a package into a folder, under the package's name, and returns its path. flags are those of
// `go build`.
func Into(dir, pkg string, flags ...string) (file string, err error) {
	file = filepath.Join(dir, path.Base(pkg))
	args := append([]string{"run", "-buildvcs=false"}, flags...)
	// It "runs" the program by `cp PROGRAM FILE`.
	out, err := exec.Command("go", append(args, "-exec", "cp", pkg, file)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return file, nil
}
