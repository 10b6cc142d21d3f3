package state

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	memoryDefault = 256 << 20
	memtableMin   = 4 << 20 // below it, a batch could not hold the largest value
	memtableMax   = 64 << 20
)

// settings divide a memory budget among the parts of Badger.
type settings struct {
	memtable   int64 // one table in memory; its log may grow as large, and is mapped
	indexCache int64
	readMostly bool // merge no tables
}

// settingsFor divides memory: a tenth is the size of a memory table, of which there are up to three
// (with the slack of its arena and the pages of its log each takes 2.3 times its size), an eighth is
// for indexes and filters; the rest is for the tables that flushes and compactions build. Blocks need no
// cache: they are not compressed, and read where the file is mapped.
func settingsFor(memory int64) settings {
	if memory <= 0 {
		memory = memoryDefault
	}
	return settings{
		memtable:   min(max(memory/10, memtableMin), memtableMax),
		indexCache: max(memory/8, 1<<20),
	}
}

// held is the memory that Badger may hold by these settings.
func (s settings) held() int64 {
	return 3*(s.memtable+s.memtable*13/10) + s.indexCache
}

// batchLimits are half of what one transaction of Badger takes; it counts 15 % of a memory table,
// and at least 96 bytes a write. Our overhead of a few bytes a write is in the other half.
func batchLimits(memtable int64) (entries, bytes int) {
	room := memtable * 15 / 100
	return int(room/96/2) - 8, int(room / 2)
}

// badgerOptions are the settings of the database; see docs/format/state.md for the reasons.
func badgerOptions(dir string, s settings, log badger.Logger) badger.Options {
	compactors, stall := 2, 20
	if s.readMostly {
		compactors, stall = 0, math.MaxInt // none would ever end a stall
	}
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).                                 // a commit that returned is on disk
		WithNumVersionsToKeep(1).                             // history is in our keys
		WithDetectConflicts(false).                           // one committer
		WithMemTableSize(s.memtable).                         //
		WithNumMemtables(1).                                  // one filled, one waiting, one being written
		WithNumLevelZeroTables(8).                            // fewer, larger compactions
		WithNumLevelZeroTablesStall(stall).                   //
		WithNumCompactors(compactors).                        //
		WithValueThreshold(512 << 10).                        // above MaxValue: nothing in the value log
		WithValueLogFileSize(1 << 20).                        // it is only a header
		WithCompression(options.None).                        // to unpack a block costs more than to find a head in it
		WithChecksumVerificationMode(options.NoVerification). // verifyTables has done it before
		WithBlockCacheSize(0).
		WithIndexCacheSize(s.indexCache).
		WithMetricsEnabled(false).
		WithNumGoroutines(1).
		WithLogger(log)
}

// logger passes Badger's messages on. Badger retries a failed flush for ever and says so only here:
// stuck is called then.
type logger struct {
	log   *slog.Logger
	stuck func(msg string)
}

func (l logger) say(level slog.Level, format string, args []any) {
	if !l.log.Enabled(context.Background(), level) && level < slog.LevelError {
		return
	}
	msg := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.log.Log(context.Background(), level, msg, "from", "badger")
	if level == slog.LevelError && strings.Contains(msg, "error flushing memtable") {
		l.stuck(msg)
	}
}

func (l logger) Errorf(format string, args ...any)   { l.say(slog.LevelError, format, args) }
func (l logger) Warningf(format string, args ...any) { l.say(slog.LevelWarn, format, args) }
func (l logger) Infof(format string, args ...any)    { l.say(slog.LevelDebug, format, args) }
func (l logger) Debugf(string, ...any)               {}
