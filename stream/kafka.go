package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/penstock-ml/penstock/pipeline"
)

// kafkaSource reads one topic.
type kafkaSource struct {
	r       *Runner
	src     *pipeline.Source
	st      *sourceStatus
	dec     *decoders
	cluster *cluster
	bytes   int // of one fetch
	big     chan struct{}
}

// memoryShare of the plan's memory is for answers under way, over all Kafka sources.
const memoryShare = 8

// runKafka reads a topic: it waits until there is one, reads all its partitions, and looks for new ones.
func (r *Runner) runKafka(ctx context.Context, src *pipeline.Source, st *sourceStatus, dec *decoders) error {
	c, err := newCluster(src.Kafka, src.Kafka.Topic)
	if err != nil {
		return err
	}
	defer c.close()
	s := &kafkaSource{r: r, src: src, st: st, dec: dec, cluster: c, big: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil) // before the wait
	wg.Go(func() { s.commitLoop(ctx) })

	stored := r.store.restarts(src)
	count := int32(0)
	for ctx.Err() == nil {
		n, err := s.await(ctx)
		if err != nil {
			return err
		}
		if count == 0 {
			for p := range stored {
				count = max(count, p+1)
			}
			if n < count {
				if err := s.shrunk(ctx, n, count, r.cfg.AcceptLoss); err != nil {
					return err
				}
			}
			count, s.bytes = 0, s.fetchBytes(n)
		}
		if n < count { // what is being read cannot be given up before a restart
			return s.shrunk(ctx, n, count, false)
		}
		// All are known before any is read: one that has not begun holds the horizon back.
		var added []*kafkaPartition
		for p := count; p < n; p++ {
			added = append(added, s.newPartition(p, count > 0 || len(stored) > 0))
		}
		for _, k := range added {
			wg.Go(func() {
				if err := k.run(ctx); err != nil && ctx.Err() == nil {
					cancel(err)
				}
			})
		}
		count = n
		if !sleep(ctx, r.cfg.Refresh) {
			break
		}
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// fetchBytes is how much one fetch asks for with n partitions: two answers and one decompressed batch
// of each must fit into a share of the budget.
func (s *kafkaSource) fetchBytes(n int32) int {
	if s.r.cfg.FetchBytes > 0 {
		return s.r.cfg.FetchBytes
	}
	share := s.r.cfg.Plan.State.Memory / memoryShare / int64(max(len(s.r.cfg.Plan.Sources), 1))
	return int(min(max(share/int64(n)/4, 64<<10), 1<<20))
}

// await returns the number of partitions as soon as the topic can be asked for.
func (s *kafkaSource) await(ctx context.Context) (int32, error) {
	for attempt := 0; ; attempt++ {
		n, err := s.cluster.partitions(ctx, s.src.Kafka.Topic)
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case err == nil && n > 0:
			s.st.wait("")
			return n, nil
		case err == nil, errors.Is(err, kafka.UnknownTopicOrPartition):
			s.st.wait(s.missing())
		default:
			s.st.wait(s.cluster.explain(err))
		}
		if !s.r.back.pause(ctx, attempt) {
			return 0, context.Cause(ctx)
		}
	}
}

func (s *kafkaSource) missing() string {
	return fmt.Sprintf("topic %s does not exist yet", s.src.Kafka.Topic)
}

// shrunk is the loss of the partitions [n, before), which a topic had and has no more: an error, or,
// if loss is accepted, partitions that are marked and hold nobody back.
func (s *kafkaSource) shrunk(ctx context.Context, n, before int32, accept bool) error {
	why := fmt.Sprintf("the topic has %d partitions and had %d: it was re-created", n, before)
	for p := n; p < before; p++ {
		h := s.r.store.partition(s.src, p)
		next, _ := h.Next()
		if seen, ok := h.Seen(); ok {
			next = max(next, seen.Offset+1)
		}
		if !accept {
			return &LossError{Source: s.src.Name, Topic: s.src.Kafka.Topic, Partition: p, From: 0, To: next, Why: why}
		}
		s.st.log.Warn("going on without a lost partition", "partition", p, "why", why)
		if err := h.Lost(next, next+1); err != nil {
			return fmt.Errorf("mark lost records: %w", err)
		}
		if err := h.End(ctx, next, true); err != nil {
			return err
		}
		h.Leave()
	}
	return nil
}

// commitLoop shows the durable restart offsets to the group's lag monitors. They are never read back,
// so that it fails is no more than a remark.
func (s *kafkaSource) commitLoop(ctx context.Context) {
	group := s.src.Kafka.Group
	if group == "" {
		return
	}
	client := &kafka.Client{Addr: s.cluster.addr, Transport: s.cluster.transport, Timeout: requestTimeout}
	told := false
	shown := map[int32]int64{}
	for sleep(ctx, s.r.cfg.Commit) {
		var list []kafka.OffsetCommit
		for p, offset := range s.r.store.restarts(s.src) {
			if shown[p] != offset {
				list = append(list, kafka.OffsetCommit{Partition: int(p), Offset: offset})
			}
		}
		if len(list) == 0 {
			continue
		}
		err := commitOffsets(ctx, client, group, s.src.Kafka.Topic, list)
		if err == nil {
			for _, c := range list {
				shown[int32(c.Partition)] = c.Offset
			}
			continue
		}
		if ctx.Err() == nil && !told {
			told = true
			s.st.log.Info("offsets cannot be shown to the group; features are not affected", "group", group, "err", err)
		}
	}
}

func commitOffsets(ctx context.Context, client *kafka.Client, group, topic string, list []kafka.OffsetCommit) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: list},
	})
	if err != nil {
		return err
	}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return p.Error
		}
	}
	return nil
}

// sleep waits d or until ctx ends, and tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	return backoff{first: d, most: d}.pause(ctx, 0)
}
