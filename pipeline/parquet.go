package pipeline

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/parquet-go/parquet-go"
	thrift "github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/schemas"
)

// maxFooter bounds the footer of a Parquet file that is read for its schema.
const maxFooter = 16 << 20

// parquetSchema reads the schema of a Parquet file as an Avro record: see ParquetSchema.
func parquetSchema(name string) (*schemas.Schema, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkFooter(f, info.Size()); err != nil {
		return nil, err
	}
	file, err := openParquet(f, info.Size())
	if err != nil {
		return nil, err
	}
	return ParquetSchema(file.Schema())
}

// checkFooter refuses what is no Parquet file, or has a footer beyond all measure.
func checkFooter(f *os.File, size int64) error {
	var tail [8]byte
	if size < 12 {
		return fmt.Errorf("not a Parquet file")
	}
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	n := int64(tail[0]) | int64(tail[1])<<8 | int64(tail[2])<<16 | int64(tail[3])<<24
	if string(tail[4:]) != "PAR1" || n > size-12 {
		return fmt.Errorf("not a Parquet file")
	}
	if n > maxFooter {
		return fmt.Errorf("the footer has %d bytes, and %d are the most", n, maxFooter)
	}
	return nil
}

// openParquet opens the file; a panic of the library over damaged bytes is an error.
func openParquet(f *os.File, size int64) (file *parquet.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged footer: %v", r)
		}
	}()
	return parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
}

// ParquetSchema maps the columns of a Parquet file to an Avro record: integers to int and long,
// floats, booleans, byte arrays to string (UTF8, ENUM, JSON, UUID) or bytes, DATE, TIME, TIMESTAMP
// and DECIMAL to the logical types of these names, groups to nested records, optional columns to
// unions with null; INT96 is an instant. Left out: columns whose name no Avro name can be, repeated columns,
// lists, maps and integers without sign of 64 bits.
func ParquetSchema(s *parquet.Schema) (*schemas.Schema, error) {
	n := 0
	record := avroRecord(s, &n)
	if record == nil {
		return nil, fmt.Errorf("no column that can be used")
	}
	b, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	return schemas.Parse(b)
}

type avroField struct {
	Name string `json:"name"`
	Type any    `json:"type"`
}

// avroRecord maps a group; n numbers the records, whose names must differ.
func avroRecord(group parquet.Node, n *int) any {
	name := fmt.Sprintf("Record%d", *n)
	*n++
	var fields []avroField
	for _, f := range group.Fields() {
		if !isName(f.Name()) || f.Repeated() {
			continue
		}
		var t any
		if f.Leaf() {
			t = avroType(f.Type())
		} else if lt := f.Type().LogicalType(); lt == nil {
			t = avroRecord(f, n)
		}
		if t == nil {
			continue
		}
		if f.Optional() {
			t = []any{"null", t}
		}
		fields = append(fields, avroField{f.Name(), t})
	}
	if fields == nil {
		return nil
	}
	return map[string]any{"type": "record", "name": name, "fields": fields}
}

// avroType maps the type of a column; nil if it cannot be used.
func avroType(t parquet.Type) any {
	if lt := t.LogicalType(); lt != nil {
		if a, ok := avroLogical(lt); ok {
			return a
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return "boolean"
	case parquet.Int32:
		return "int"
	case parquet.Int64:
		return "long"
	case parquet.Int96: // an instant of Spark and others
		return map[string]any{"type": "long", "logicalType": "timestamp-nanos"}
	case parquet.Float:
		return "float"
	case parquet.Double:
		return "double"
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return "bytes"
	}
	return nil
}

// avroLogical maps an annotated column; ok is false if the annotation does not matter.
func avroLogical(lt *thrift.LogicalType) (a any, ok bool) {
	logical := func(base, name string) any { return map[string]any{"type": base, "logicalType": name} }
	switch x := lt.Value.(type) {
	case *thrift.StringType, *thrift.EnumType, *thrift.JsonType, *thrift.UUIDType:
		return "string", true
	case *thrift.DateType:
		return logical("int", "date"), true
	case *thrift.TimestampType:
		unit := unitName(x.Unit)
		if unit == "" {
			return nil, true
		}
		if !x.IsAdjustedToUTC {
			return logical("long", "local-timestamp-"+unit), true
		}
		return logical("long", "timestamp-"+unit), true
	case *thrift.TimeType:
		switch unitName(x.Unit) {
		case "millis":
			return logical("int", "time-millis"), true
		case "micros":
			return logical("long", "time-micros"), true
		}
		return nil, true
	case *thrift.DecimalType:
		return map[string]any{"type": "bytes", "logicalType": "decimal", "precision": x.Precision, "scale": x.Scale}, true
	case *thrift.IntType:
		switch {
		case x.IsSigned || x.BitWidth < 32:
			return nil, false
		case x.BitWidth == 32:
			return "long", true
		}
		return nil, true
	}
	return nil, false
}

func unitName(u thrift.TimeUnit) string {
	switch u.Value.(type) {
	case *thrift.MilliSeconds:
		return "millis"
	case *thrift.MicroSeconds:
		return "micros"
	case *thrift.NanoSeconds:
		return "nanos"
	}
	return ""
}
