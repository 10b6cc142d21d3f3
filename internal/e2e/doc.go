// Package e2e tests the real program from outside: events that other clients produce to a broker,
// features and exports compared cell by cell with internal/oracle, and SIGKILL along the way.
//
// What is expected is computed from the list of events that were made, not from our decoder: positions
// come from reading the topic back with an independent client, and which event stands where from a
// header that only the tests know.
//
// Environment:
//
//	PENSTOCK_SEED=N           the scenario (default 1; printed)
//	PENSTOCK_KILLS=N          how many processes each of the two kill tests kills
//	PENSTOCK_FULL=1           kill 200 processes, as CI does, else 20, and make more events
//	PENSTOCK_PAIRS=N          how many entities at instants the parity test asks for (default 40000 with PENSTOCK_FULL, else 10000)
//	PENSTOCK_REQUIRE_KAFKA=1  fail rather than skip without a container engine
//	PENSTOCK_PYTHON=PATH      a Python with confluent-kafka, the client in another language
package e2e
