package export

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// crew are the goroutines that do an export's work.
type crew struct {
	workers int
	// behind lets them run on threads of low priority, so that the CPUs are first of all for what the process does
	// beside. Such a thread ends with its goroutine (the main thread, if it was one, sleeps for ever): without
	// privileges its priority cannot be raised again.
	behind bool
}

// settle is called first by a goroutine of the crew.
func (c crew) settle() {
	if c.behind {
		runtime.LockOSThread()
		stepBack()
	}
}

// each does n pieces of work, taken in order; worker counts the goroutines from 0. One does them where it is called.
func (c crew) each(n int, do func(worker, i int)) {
	workers := min(c.workers, n)
	if workers <= 1 {
		for i := range n {
			do(0, i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			c.settle()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(w, int(i))
			}
		})
	}
	wg.Wait()
}

// lead calls do on a goroutine of the crew.
func (c crew) lead(do func()) {
	if !c.behind {
		do()
		return
	}
	defer spare.lend(c.workers)()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.settle()
		do()
	}()
	<-done
}

// spare are processors of the Go runtime for threads of low priority: while the system lets such a thread wait, the
// processor that it holds is of no use to other goroutines. On two busy CPUs look-ups lost a third of their rate to
// an export without one more, and a twentieth with it.
var spare processors

type processors struct {
	mu    sync.Mutex
	usual int
	lent  int
}

// lend adds n processors until the answer is called; none where there are fewer than CPUs: then a limit was set.
func (p *processors) lend(n int) (back func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lent == 0 {
		p.usual = runtime.GOMAXPROCS(0)
	}
	if p.usual < runtime.NumCPU() {
		return func() {}
	}
	p.set(n)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.set(-n)
	})
}

func (p *processors) set(more int) {
	p.lent += more
	if p.lent == 0 && p.usual == runtime.NumCPU() && os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS() // that follows the limits of a container
		return
	}
	runtime.GOMAXPROCS(p.usual + p.lent)
}

// count is how many there are without those that are lent.
func (p *processors) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lent > 0 {
		return p.usual
	}
	return runtime.GOMAXPROCS(0)
}
