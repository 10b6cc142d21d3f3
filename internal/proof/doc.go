// Package proof makes random pipelines, random streams of events and random histories of a store (batches,
// flushes, crashes, restarts), and says what must be true of them: answers are those of internal/oracle, and
// equal sets of rows give equal bytes. It is used by tests only. Everything comes from a seed: the tests
// print it, and PENSTOCK_SEED replays it.
package proof
