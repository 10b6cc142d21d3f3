package export

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// nice is that of the calling thread.
func nice(t *testing.T) int {
	n, err := syscall.Getpriority(syscall.PRIO_PROCESS, syscall.Gettid())
	if err != nil {
		t.Error(err)
	}
	return 20 - n // so the system call tells it
}

// TestCrew: what a crew does behind all else runs on threads of low priority, all of it, and no thread keeps it.
func TestCrew(t *testing.T) {
	usual := nice(t)
	procs := runtime.GOMAXPROCS(0)
	for _, c := range []crew{{1, false}, {3, false}, {1, true}, {3, true}} {
		want, more := usual, 0
		if c.behind {
			want = min(usual+niceness, 19)
			if procs >= runtime.NumCPU() {
				more = c.workers
			}
		}
		var mu sync.Mutex
		done := map[int]bool{}
		c.lead(func() {
			if got := nice(t); got != want {
				t.Errorf("%+v leads with %d, want %d", c, got, want)
			}
			if got := runtime.GOMAXPROCS(0); got != procs+more || spare.count() != procs {
				t.Errorf("%+v: %d processors, %d counted, want %d and %d", c, got, spare.count(), procs+more, procs)
			}
			c.each(50, func(worker, i int) {
				got := nice(t)
				mu.Lock()
				defer mu.Unlock()
				if got != want || worker >= c.workers || done[i] {
					t.Errorf("%+v: worker %d does %d with %d, want %d", c, worker, i, got, want)
				}
				done[i] = true
			})
		})
		if len(done) != 50 || runtime.GOMAXPROCS(0) != procs {
			t.Errorf("%+v: %d done, %d processors, want %d", c, len(done), runtime.GOMAXPROCS(0), procs)
		}
	}
	var wg, all sync.WaitGroup
	all.Add(64)
	for range 64 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait() // so they are threads of their own
			if got := nice(t); got != usual {
				t.Errorf("a thread is left with %d, want %d", got, usual)
			}
		})
	}
	wg.Wait()
}

// TestLend: processors that are lent for two exports are taken back once, each.
func TestLend(t *testing.T) {
	usual := runtime.GOMAXPROCS(0)
	if usual < runtime.NumCPU() {
		t.Skip("a limit is set: none are lent")
	}
	t.Cleanup(func() { runtime.GOMAXPROCS(usual) })
	a := spare.lend(1)
	b := spare.lend(2)
	if got := runtime.GOMAXPROCS(0); got != usual+3 {
		t.Fatalf("%d processors, want %d", got, usual+3)
	}
	a()
	a()
	if got := runtime.GOMAXPROCS(0); got != usual+2 || spare.count() != usual {
		t.Fatalf("%d processors, want %d", got, usual+2)
	}
	b()
	if got := runtime.GOMAXPROCS(0); got != usual {
		t.Fatalf("%d processors, want %d", got, usual)
	}
	more := runtime.NumCPU() + 1
	for _, chosen := range []int{more, 1} { // a number that was chosen stays
		runtime.GOMAXPROCS(chosen)
		spare.lend(1)()
		if got := runtime.GOMAXPROCS(0); got != chosen {
			t.Fatalf("%d processors, want %d", got, chosen)
		}
	}
}
