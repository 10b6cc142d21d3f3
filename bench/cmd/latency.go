package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
)

// latency is how long look-ups of one entity took.
type latency struct {
	who         string
	connections int
	perSecond   float64
	p50, p99    time.Duration
}

// latencies asks Penstock, and a bare handler that answers the same bytes, in turn.
func (p *penstock) latencies(ctx context.Context, c *config, k workload.Keys) ([]latency, error) {
	sample, err := post(client, p.url+"/v1/features", request(0))
	if err != nil {
		return nil, fmt.Errorf("look up a user: %w", err)
	}
	path := filepath.Join(c.work, "answer.json")
	if err := os.WriteFile(path, sample, 0o644); err != nil {
		return nil, fmt.Errorf("keep an answer: %w", err)
	}
	bare, url, err := startBare(ctx, c, path)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = bare.cmd.Process.Kill()
		<-bare.done
	}()
	var out []latency
	for _, connections := range []int{1, 16} {
		for _, who := range []struct{ name, url string }{{"Penstock", p.url}, {"bare net/http", url}} {
			l, err := askFor(ctx, c, k, who.url+"/v1/features", connections)
			if err != nil {
				return nil, fmt.Errorf("%s, %d connections: %w", who.name, connections, err)
			}
			l.who = who.name
			out = append(out, l)
		}
	}
	return out, nil
}

func request(user uint32) []byte {
	return fmt.Appendf(nil, `{"view":"user_spend","entities":[{"user_id":"%s"}],"as_of":"latest"}`, workload.UserID(user))
}

func post(c *http.Client, url string, body []byte) ([]byte, error) {
	resp, err := c.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, nil
}

// askFor asks over so many connections.
func askFor(ctx context.Context, c *config, k workload.Keys, url string, connections int) (latency, error) {
	all, err := answerTimes(ctx, c, k, url, connections)
	if err != nil {
		return latency{}, err
	}
	return latencyOf(all, c.latency, connections), nil
}

// latencyOf sums up how long all answers within some time took.
func latencyOf(all []time.Duration, within time.Duration, connections int) latency {
	slices.Sort(all)
	return latency{"", connections, float64(len(all)) / within.Seconds(), all[len(all)/2], all[len(all)*99/100]}
}

// answerTimes asks over so many connections, each one question after the other, of users as busy as in the
// topic, and tells how long each answer took; there is at least one. The first fifth of the time is not counted.
func answerTimes(ctx context.Context, c *config, k workload.Keys, url string, connections int) ([]time.Duration, error) {
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}, Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	begin := time.Now().Add(c.latency / 5)
	end := begin.Add(c.latency)
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		all   []time.Duration
		first error
	)
	for i := range connections {
		wg.Go(func() {
			users := workload.Users(c.options(k), rand.New(rand.NewPCG(4, uint64(i))))
			var took []time.Duration
			var err error
			for now := time.Now(); now.Before(end) && ctx.Err() == nil && err == nil; now = time.Now() {
				_, err = post(hc, url, request(users()))
				if now.After(begin) {
					took = append(took, time.Since(now))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	if first == nil {
		first = ctx.Err()
	}
	if first != nil || len(all) == 0 {
		return nil, fmt.Errorf("%d answers: %w", len(all), first)
	}
	return all, nil
}

// startBare starts this program again as the handler to compare with, in a process of its own as
// Penstock is.
func startBare(ctx context.Context, c *config, answer string) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("find this program: %w", err)
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	p, err := start(ctx, filepath.Join(c.work, "bare.log"), nil, []string{"BENCH_LISTEN=" + addr}, self, "-bare", answer)
	if err != nil {
		return nil, "", err
	}
	url := "http://" + addr
	for range 500 {
		if _, err = post(client, url, nil); err == nil {
			return p, url, nil
		}
		select {
		case <-p.done:
			return nil, "", fmt.Errorf("the bare handler ended: %w", p.failed)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil, "", fmt.Errorf("the bare handler does not answer: %w", err)
}

// serveBare answers every request with a file's bytes.
func serveBare(path string) error {
	answer, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return http.ListenAndServe(os.Getenv("BENCH_LISTEN"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
}
