package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// required reports whether tests that need Kafka must run rather than be skipped.
func required() bool { return os.Getenv("PENSTOCK_REQUIRE_KAFKA") == "1" }

// Start starts a broker of the test's own, which goes when the test ends. For tests that stop, kill or
// restart it; the others use Shared.
func Start(t testing.TB) *Broker {
	t.Helper()
	b, err := Run(t.Context(), nil)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

var shared struct {
	sync.Mutex
	managed bool
	started bool
	b       *Broker
	err     error
}

// Main runs the tests of a package that uses Shared and removes the broker afterwards:
//
//	func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }
func Main(m *testing.M) int {
	shared.managed = true
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.b != nil {
		if err := shared.b.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}

// Shared returns the one broker of the test binary, started at the first call; use topic names that
// no other test uses. The package's TestMain must be Main.
func Shared(t testing.TB) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.managed {
		t.Fatal("kafkatest.Shared: the package's TestMain does not call kafkatest.Main")
	}
	if !shared.started {
		shared.started = true
		// Not the test's context: the broker outlives it.
		shared.b, shared.err = Run(context.Background(), nil)
	}
	if shared.err != nil {
		missing(t, shared.err)
	}
	return shared.b
}

// missing skips the test, or fails it if Kafka is required or if there is an engine and yet no broker.
func missing(t testing.TB, err error) {
	t.Helper()
	if required() {
		t.Fatalf("PENSTOCK_REQUIRE_KAFKA=1: %v", err)
	}
	if !errors.Is(err, ErrNoEngine) {
		t.Fatalf("%v\nhint: `make kafka-image` provides the image", err)
	}
	const line = "SKIPPED: no container engine: real-Kafka tests did not run"
	fmt.Fprintln(os.Stderr, line)
	t.Skip(line + ": " + err.Error())
}
