package export

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/arm64"
)

// sumsOf are the SHA-256 of one table in each format.
func sumsOf(t *testing.T) string {
	t.Helper()
	store, dir := richStore(t)
	spine := filepath.Join(dir, "spine.csv")
	if err := os.WriteFile(spine, []byte(richSpine(2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, ext := range []string{"parquet", "arrow", "avro", "csv", "csv.gz", "csv.zst", "jsonl"} {
		out := filepath.Join(dir, "out."+ext)
		if _, err := FromStore(t.Context(), store, Request{Selection: feature.Selection{View: "v"}, Spine: spine, Out: out, WithStatus: true, Manifest: true}); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(out + ManifestSuffix)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x statistics %x\n", ext, sha256.Sum256(file), sha256.Sum256([]byte(asJSON(t, m.Statistics))))
	}
	return b.String()
}

// TestSums prints the sums for TestSameBytesOnARM64.
func TestSums(t *testing.T) { arm64.Print(t, sumsOf) }

// TestSameBytesOnARM64 writes one table in each format on this machine and on an emulated arm64 one: the same bytes.
func TestSameBytesOnARM64(t *testing.T) { arm64.Compare(t, "TestSums", sumsOf) }
