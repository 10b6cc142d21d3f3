// Package failpoint lets a test end the process at named places, as SIGKILL would: nothing is flushed, no
// defer runs. It is compiled in and off unless the environment says
//
//	PENSTOCK_FAILPOINT=NAME:HITS
//
// which passes the place NAME HITS times and dies there the next time. Off, a place costs a comparison.
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Variable is the name of the environment variable.
const Variable = "PENSTOCK_FAILPOINT"

// Names lists the places there are, in the order in which a record comes by.
var Names = []string{Restored, Spill, HeadlessBlocks, Commit, Unmarked, Committed, CheckpointRecord, CheckpointDone, Sweep, Ready}

// The places.
const (
	Restored         = "restored"          // a store is opened again, and nothing is read yet
	Spill            = "spill"             // some of the blocks of a spill are durable
	HeadlessBlocks   = "headless-blocks"   // all blocks of a spill are durable, and their head is not
	Commit           = "commit"            // before a commit
	Unmarked         = "unmarked"          // a commit is on disk, and not acknowledged
	Committed        = "committed"         // a commit is acknowledged, and nobody knows it
	CheckpointRecord = "checkpoint-record" // all heads of a checkpoint are durable, and its record is not
	CheckpointDone   = "checkpoint-done"   // the checkpoint's record is durable
	Sweep            = "sweep"             // what a chunk of a sweep has changed is durable, and its counts are not
	Ready            = "ready"             // all is re-read, and nobody was told
)

// armed is the place to die at; nil: none.
var armed = parse(os.Getenv(Variable))

type point struct {
	name string
	left atomic.Int64
}

func parse(text string) *point {
	name, hits, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(hits, 10, 64)
	if name == "" || err != nil || n < 0 {
		return nil
	}
	p := &point{name: name}
	p.left.Store(n)
	return p
}

// Armed names the place that the process is to die at; empty: none. What it does now and then, it does often then.
func Armed() string {
	if armed == nil {
		return ""
	}
	return armed.name
}

// On tells whether the process dies at the place the next time, so that what must be durable by then can be
// made so.
func On(name string) bool { return armed != nil && armed.name == name && armed.left.Load() == 0 }

// Hit passes the place, or ends the process there.
func Hit(name string) {
	if armed != nil {
		armed.hit(name)
	}
}

func (p *point) hit(name string) {
	if p.name != name || p.left.Add(-1) >= 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal has come
}
