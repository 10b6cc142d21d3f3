package export

import "syscall"

// niceness is that of a process which others go before: it gets a tenth of a CPU that another wants whole.
const niceness = 10

// stepBack lowers the priority of the thread that calls. Where that is not allowed it stays as it is.
func stepBack() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), niceness) }
