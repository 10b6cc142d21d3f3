package pipeline

import (
	"strings"
	"testing"
)

// The storage text of the first release's windows and aggregates: the states it has written must still
// open, so the expected file is never rewritten.
func TestReleasedStorageText(t *testing.T) {
	src := strings.Replace(surface, "      last_country: {last: country}\n", `      last_country: {last: country, default: none, ttl: 7d}
      last_5: {last: fee, where: fee > 10}
      avg_5: {avg: fee, last: 5, where: abroad}
      tags: {count: 'attrs["color"]', where: 'tags[0] == "x"'}
      price: {sum: price, window: lifetime}
      spread: {stddev: amount - fee, window: 1d12h}
      first: {first: device.os}
`, 1)
	golden(t, "testdata/storage/released.txt", mustCompile(t, src).Views[0].Storage)
}
