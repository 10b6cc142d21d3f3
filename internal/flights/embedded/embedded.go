// Package embedded runs a Kafka-protocol broker and a schema registry inside the process, for the demo
// and for tests. Both forget everything when they are closed.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// Services are one broker and one registry, on free ports of 127.0.0.1.
type Services struct {
	broker   *kfake.Cluster
	registry *http.Server
	url      string
	served   chan struct{}
}

// Start starts both.
func Start() (*Services, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the embedded registry: %w", err)
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", errors.Join(err, ln.Close()))
	}
	s := &Services{
		broker: broker, url: "http://" + ln.Addr().String(), served: make(chan struct{}),
		registry: &http.Server{Handler: srfake.NewRegistry().Handler(), ReadHeaderTimeout: 5 * time.Second},
	}
	go func() {
		defer close(s.served)
		_ = s.registry.Serve(ln) // ends by Close
	}()
	return s, nil
}

// Brokers returns the broker's address.
func (s *Services) Brokers() []string { return s.broker.ListenAddrs() }

// Registry returns the registry's URL.
func (s *Services) Registry() string { return s.url }

// Close stops both.
func (s *Services) Close() {
	_ = s.registry.Close()
	<-s.served
	s.broker.Close()
}
