// Package kafkatest starts a real Apache Kafka in a container for tests and benchmarks, and gives them
// clients that share no code with Penstock's: franz-go, librdkafka through Python, and Kafka's own
// command line tools.
//
// The image is the official apache/kafka:4.1.0, or the one of that name that deploy/kafka-image.sh
// builds where none can be pulled. Without a container engine the tests are skipped, loudly, unless
// PENSTOCK_REQUIRE_KAFKA=1 makes that a failure.
package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Image is the name of the image that is started.
const Image = "apache/kafka:4.1.0"

// ErrNoEngine reports that no container engine answers.
var ErrNoEngine = errors.New("no container engine")

const (
	outside = "9092/tcp"        // the published listener, in the container
	inside  = "localhost:19092" // the listener for tools that run in the container
	label   = "org.penstock.kafkatest"
)

// Broker is a Kafka of one node, broker and controller in one. Its log survives Stop, Kill and
// Restart and goes with Close.
type Broker struct {
	// Addr is where clients outside the container reach it, host:port. It stays across restarts.
	Addr string

	c testcontainers.Container
}

// Run starts a broker and returns when it answers. env adds to or overrides the image's variables,
// KAFKA_HEAP_OPTS for instance. The caller calls Close. Tests use Start or Shared instead.
func Run(ctx context.Context, env map[string]string) (*Broker, error) {
	prepare()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	defer func() { _ = provider.Close() }()
	if err := provider.Health(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	sweep(ctx, provider.Client())
	host, err := provider.DaemonHost(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the container engine's host: %w", err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b := &Broker{Addr: net.JoinHostPort(host, port)}
	if b.c, err = testcontainers.GenericContainer(ctx, request(b.Addr, port, env)); err != nil {
		err = fmt.Errorf("start %s: %w", Image, err)
		if b.c != nil {
			err = errors.Join(fmt.Errorf("%w\n%s", err, b.Logs(ctx)), b.Close())
		}
		return nil, err
	}
	if err := b.ready(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// prepare tells testcontainers that there is no reaper image, and where a published port is found by
// tests that themselves run in a container beside their own engine.
var prepare = sync.OnceFunc(func() {
	setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	if _, err := os.Stat("/.dockerenv"); err == nil && os.Getenv("DOCKER_HOST") == "" {
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
})

func setDefault(name, value string) {
	if os.Getenv(name) == "" {
		_ = os.Setenv(name, value)
	}
}

// freePort returns a port that was free a moment ago: the advertised address must be known before the
// container exists.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("choose a port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

func request(addr, port string, env map[string]string) testcontainers.GenericContainerRequest {
	all := map[string]string{
		"KAFKA_NODE_ID":                                  "1",
		"KAFKA_PROCESS_ROLES":                            "broker,controller",
		"KAFKA_LISTENERS":                                "OUTSIDE://:9092,INSIDE://:19092,CONTROLLER://:9093",
		"KAFKA_ADVERTISED_LISTENERS":                     "OUTSIDE://" + addr + ",INSIDE://" + inside,
		"KAFKA_CONTROLLER_LISTENER_NAMES":                "CONTROLLER",
		"KAFKA_INTER_BROKER_LISTENER_NAME":               "INSIDE",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":           "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"KAFKA_CONTROLLER_QUORUM_VOTERS":                 "1@localhost:9093",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
		"KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS":             "1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
		"KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS":     "1",
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":         "0",
		"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                "false",
		"KAFKA_BROKER_SESSION_TIMEOUT_MS":                "3000", // how long a killed broker keeps its own place taken
		"KAFKA_BROKER_HEARTBEAT_INTERVAL_MS":             "500",
		"KAFKA_HEAP_OPTS":                                "-Xmx512m -Xms128m",
		"KAFKA_OPTS":                                     "-XX:TieredStopAtLevel=1", // tests start a broker more often than they load it
	}
	maps.Copy(all, env)
	return testcontainers.GenericContainerRequest{
		ContainerRequest: testcontainers.ContainerRequest{
			Image:        Image,
			Env:          all,
			ExposedPorts: []string{outside},
			Labels:       map[string]string{label: owner(os.Getpid())},
			HostConfigModifier: func(hc *container.HostConfig) {
				binding := network.PortBinding{HostPort: port}
				if strings.HasPrefix(addr, "127.0.0.1:") {
					binding.HostIP = netip.MustParseAddr("127.0.0.1")
				}
				hc.PortBindings = network.PortMap{network.MustParsePort(outside): {binding}}
			},
			WaitingFor: wait.ForLog("Kafka Server started").WithStartupTimeout(90 * time.Second),
		},
		Started: true,
		Logger:  quiet{},
	}
}

type quiet struct{}

// Printf drops testcontainers' progress lines.
func (quiet) Printf(string, ...any) {}

// Stop ends the broker in an orderly way. Clients see connections refused until Start.
func (b *Broker) Stop(ctx context.Context) error {
	patience := 30 * time.Second
	if err := b.c.Stop(ctx, &patience); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	return nil
}

// Kill ends the broker with SIGKILL, as a crash would.
func (b *Broker) Kill(ctx context.Context) error {
	var at time.Duration
	if err := b.c.Stop(ctx, &at); err != nil {
		return fmt.Errorf("kill the broker: %w", err)
	}
	return nil
}

// Start starts a stopped broker on the same address and log, and returns when every partition has a
// leader again.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.c.Start(ctx); err != nil {
		return fmt.Errorf("start the broker again: %w", err)
	}
	return b.ready(ctx)
}

// Restart is Stop and Start.
func (b *Broker) Restart(ctx context.Context) error {
	if err := b.Stop(ctx); err != nil {
		return err
	}
	return b.Start(ctx)
}

// Close removes the broker and its log.
func (b *Broker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.c.Terminate(ctx, testcontainers.StopTimeout(0)); err != nil {
		return fmt.Errorf("remove the broker: %w", err)
	}
	return nil
}

// Exec runs a command in the broker's container and returns what it wrote. Inside, the broker's
// address is localhost:19092 and Kafka's tools stand in /opt/kafka/bin.
func (b *Broker) Exec(ctx context.Context, args ...string) (string, error) {
	code, out, err := b.c.Exec(ctx, args, tcexec.Multiplexed())
	if err != nil {
		return "", fmt.Errorf("exec %s: %w", args[0], err)
	}
	text, err := io.ReadAll(out)
	if err != nil {
		return "", fmt.Errorf("exec %s: read its output: %w", args[0], err)
	}
	if code != 0 {
		return string(text), fmt.Errorf("exec %s: exit code %d: %s", args[0], code, bytes.TrimSpace(text))
	}
	return string(text), nil
}

// Logs returns the end of the broker's log, for messages.
func (b *Broker) Logs(ctx context.Context) string {
	r, err := b.c.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	text, _ := io.ReadAll(r)
	return string(text[max(0, len(text)-4096):])
}

func owner(pid int) string {
	host, _ := os.Hostname()
	return host + ":" + strconv.Itoa(pid)
}

// sweep removes brokers of test processes of this host that ended without removing theirs (a panic, a
// test's time limit).
func sweep(ctx context.Context, c client.APIClient) {
	list, err := c.ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: make(client.Filters).Add("label", label),
	})
	if err != nil {
		return
	}
	for _, s := range list.Items {
		_, after, _ := strings.Cut(s.Labels[label], ":")
		pid, err := strconv.Atoi(after)
		if err != nil || s.Labels[label] != owner(pid) || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		_, _ = c.ContainerRemove(ctx, s.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
}
