package export

import (
	"sync"
	"sync/atomic"
)

// inParallel does n pieces of work, taken in order, by so many goroutines; worker counts them from 0.
func inParallel(workers, n int, do func(worker, i int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			do(0, i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(w, int(i))
			}
		})
	}
	wg.Wait()
}
