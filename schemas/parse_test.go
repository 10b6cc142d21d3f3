package schemas

import (
	"testing"

	"github.com/twmb/avro"
)

// TestParseAsOthersWrite takes schemas as other languages' tools write them.
func TestParseAsOthersWrite(t *testing.T) {
	for _, text := range []string{
		`"string"`,
		`{"type":"string"}`,
		`{"type":"record","name":"Empty","fields":[]}`,
		`{"type":"record","name":"J","fields":[{"name":"s","type":{"type":"string","avro.java.string":"String"}}]}`,
		`{"type":"record","name":"V","namespace":"db.public","connect.name":"db.public.V","connect.version":1,"fields":[
			{"name":"ts","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}},
			{"name":"x","type":["null",{"type":"string","connect.default":"a"}],"default":null,"doc":"d","order":"ignore"}]}`,
		`{"type":"record","name":"D","doc":"","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":0}}]}`,
		`{"type":"record","name":"A","aliases":["B","x.C"],"fields":[{"name":"n","aliases":["m"],"type":["null","A"]}]}`,
		`{"type":"record","name":"N","namespace":"","fields":[{"name":"i","type":{"type":"enum","name":"p.q.E","symbols":["A"]}},{"name":"j","type":"p.q.E"}]}`,
		`{"type":"record","name":"L","fields":[{"name":"x","type":{"type":"string","logicalType":"ip-address"}}]}`,
	} {
		s, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := avro.Parse(s.String()); err != nil {
			t.Errorf("%s is printed as %s: %v", text, s, err)
		}
	}
}
