package export

import "syscall"

// niceness is by how much more than before a thread lets others go first (see nice(1)): by 10 it gets a
// tenth of a CPU that another wants whole.
const niceness = 10

// canStepBack tells whether stepBack does something.
const canStepBack = true

// stepBack lowers the priority of the thread that calls. Where that is not allowed it stays as it is.
func stepBack() {
	tid := syscall.Gettid()
	if now, err := syscall.Getpriority(syscall.PRIO_PROCESS, tid); err == nil { // the system call tells 20 less the niceness
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, tid, min(20-now+niceness, 19))
	}
}
