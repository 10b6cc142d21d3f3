// Package stream brings records from outside into a feature store: Kafka topics and files, decoded,
// in offset order, each position exactly once; and takes dead letters to a topic.
//
// A Runner reads every source of a plan until its context ends. Each Kafka partition is read by two
// goroutines of its own: one fetches ahead (one answer at most), the other parses, decodes and hands
// over. Each file source is read by one goroutine, file after file.
//
// What is away (a broker, a topic, a schema registry) is waited for: said once in the log, shown by
// Runner.Status, and resumed by itself. What is lost is loud: see LossError.
package stream
