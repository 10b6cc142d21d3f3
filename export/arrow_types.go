package export

import (
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
)

// arrowValue is the value in a row of an array. Strings may alias the array.
type arrowValue func(row int) event.Value

// arrowBind reads an array of the type it was made for.
type arrowBind func(a arrow.Array) arrowValue

// arrowColumn tells how a column's values are read, and how Parquet writes them; no bind: they cannot be read.
func arrowColumn(t arrow.DataType, nullable bool) (spineColumn, arrowBind) {
	col := spineColumn{}
	narrow := func(p parquet.Type) {
		col.node = parquet.Leaf(p)
		if nullable {
			col.node = parquet.Optional(col.node)
		}
	}
	switch x := t.(type) {
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type:
		narrow(parquet.Int32Type)
	case *arrow.Float32Type:
		narrow(parquet.FloatType)
	case *arrow.FixedSizeListType:
		col.size = int(x.Len())
	case *arrow.DictionaryType:
		inner, bind := arrowColumn(x.ValueType, true)
		inner.node, inner.typ.Nullable = nil, true
		return inner, bindDictionary(bind)
	case arrow.ExtensionType:
		inner, bind := arrowColumn(x.StorageType(), nullable)
		if bind == nil {
			return col, nil
		}
		return inner, func(a arrow.Array) arrowValue { return bind(a.(array.ExtensionArray).Storage()) }
	}
	typ, read := arrowRead(t)
	if read == nil {
		return col, nil
	}
	col.typ = typ
	col.typ.Nullable = nullable || typ.Nullable // a column of nulls alone may be declared otherwise
	return col, func(a arrow.Array) arrowValue {
		value := read(a)
		if !nullable || a.NullN() == 0 {
			return value
		}
		return func(row int) event.Value {
			if a.IsNull(row) {
				return event.Value{}
			}
			return value(row)
		}
	}
}

// bindDictionary reads values by their index.
func bindDictionary(bind arrowBind) arrowBind {
	if bind == nil {
		return nil
	}
	return func(a arrow.Array) arrowValue {
		d := a.(*array.Dictionary)
		value := bind(d.Dictionary())
		return func(row int) event.Value {
			if d.IsNull(row) {
				return event.Value{}
			}
			return value(d.GetValueIndex(row))
		}
	}
}

// arrowRead is how values that are not null are read, by type.
func arrowRead(t arrow.DataType) (event.Type, arrowBind) {
	switch x := t.(type) {
	case *arrow.NullType:
		return event.Type{Kind: event.String, Nullable: true}, func(arrow.Array) arrowValue { return func(int) event.Value { return event.Value{} } }
	case *arrow.BooleanType:
		return event.Type{Kind: event.Bool}, func(a arrow.Array) arrowValue {
			b := a.(*array.Boolean)
			return func(i int) event.Value { return event.BoolOf(b.Value(i)) }
		}
	case *arrow.TimestampType:
		kind := event.LocalTimestamp
		if x.TimeZone != "" {
			kind = event.Timestamp
		}
		return event.Type{Kind: kind}, bindUnit[arrow.Timestamp](kind, x.Unit)
	case *arrow.Time32Type:
		return event.Type{Kind: event.TimeOfDay}, bindUnit[arrow.Time32](event.TimeOfDay, x.Unit)
	case *arrow.Time64Type:
		return event.Type{Kind: event.TimeOfDay}, bindUnit[arrow.Time64](event.TimeOfDay, x.Unit)
	case *arrow.Date32Type:
		return event.Type{Kind: event.Date}, func(a arrow.Array) arrowValue {
			d := a.(*array.Date32)
			return func(i int) event.Value { return event.Value{Kind: event.Date, Num: uint64(int64(d.Value(i)))} }
		}
	case *arrow.Date64Type:
		return event.Type{Kind: event.Date}, func(a arrow.Array) arrowValue {
			d := a.(*array.Date64)
			return func(i int) event.Value {
				return event.Value{Kind: event.Date, Num: uint64(floorDiv(int64(d.Value(i)), 86_400_000))}
			}
		}
	case *arrow.FixedSizeBinaryType:
		return event.Type{Kind: event.Bytes}, func(a arrow.Array) arrowValue {
			b := a.(*array.FixedSizeBinary)
			return func(i int) event.Value { return event.BytesOf(b.Value(i)) }
		}
	case arrow.DecimalType:
		return event.Type{Kind: event.Decimal, Scale: x.GetScale()}, bindDecimal(x.GetScale())
	case *arrow.MapType, *arrow.StructType, arrow.ListLikeType:
		return arrowNested(t)
	}
	if typ, bind := arrowNumber(t); bind != nil {
		return typ, bind
	}
	return arrowText(t)
}

// arrowNumber reads integers and floats.
func arrowNumber(t arrow.DataType) (event.Type, arrowBind) {
	long, double := event.Type{Kind: event.Long}, event.Type{Kind: event.Double}
	switch t.ID() {
	case arrow.INT8:
		return long, bindLong[int8]()
	case arrow.INT16:
		return long, bindLong[int16]()
	case arrow.INT32:
		return long, bindLong[int32]()
	case arrow.INT64:
		return long, bindLong[int64]()
	case arrow.UINT8:
		return long, bindLong[uint8]()
	case arrow.UINT16:
		return long, bindLong[uint16]()
	case arrow.UINT32:
		return long, bindLong[uint32]()
	case arrow.UINT64:
		return long, func(a arrow.Array) arrowValue {
			n := a.(*array.Uint64)
			return func(i int) event.Value {
				if u := n.Value(i); u>>63 != 0 {
					return event.DecimalOf(new(big.Int).SetUint64(u), 0)
				}
				return event.LongOf(int64(n.Value(i)))
			}
		}
	case arrow.FLOAT16:
		return double, func(a arrow.Array) arrowValue {
			f := a.(*array.Float16)
			return func(i int) event.Value { return event.DoubleOf(float64(f.Value(i).Float32())) }
		}
	case arrow.FLOAT32:
		return double, func(a arrow.Array) arrowValue {
			f := a.(*array.Float32)
			return func(i int) event.Value { return event.DoubleOf(float64(f.Value(i))) }
		}
	case arrow.FLOAT64:
		return double, func(a arrow.Array) arrowValue {
			f := a.(*array.Float64)
			return func(i int) event.Value { return event.DoubleOf(f.Value(i)) }
		}
	}
	return event.Type{}, nil
}

// arrowText reads text and bytes, in every layout.
func arrowText(t arrow.DataType) (event.Type, arrowBind) {
	switch t.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return event.Type{Kind: event.String}, func(a arrow.Array) arrowValue {
			s := a.(interface{ Value(int) string })
			return func(i int) event.Value { return event.StringOf(s.Value(i)) }
		}
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW:
		return event.Type{Kind: event.Bytes}, func(a arrow.Array) arrowValue {
			b := a.(interface{ Value(int) []byte })
			return func(i int) event.Value { return event.BytesOf(b.Value(i)) }
		}
	}
	return event.Type{}, nil
}

func bindLong[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32]() arrowBind {
	return func(a arrow.Array) arrowValue {
		n := a.(interface{ Value(int) T })
		return func(i int) event.Value { return event.LongOf(int64(n.Value(i))) }
	}
}

// bindUnit reads a number of a unit, floored to microseconds.
func bindUnit[T arrow.Timestamp | arrow.Time32 | arrow.Time64](kind event.Kind, unit arrow.TimeUnit) arrowBind {
	times, by := int64(1), int64(1)
	switch unit {
	case arrow.Second:
		times = 1_000_000
	case arrow.Millisecond:
		times = 1000
	case arrow.Nanosecond:
		by = 1000
	}
	return func(a arrow.Array) arrowValue {
		n := a.(interface{ Value(int) T })
		return func(i int) event.Value {
			return event.Value{Kind: kind, Num: uint64(floorDiv(int64(n.Value(i))*times, by))}
		}
	}
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

func bindDecimal(scale int32) arrowBind {
	return func(a arrow.Array) arrowValue {
		var unscaled func(i int) *big.Int
		switch d := a.(type) {
		case *array.Decimal32:
			unscaled = func(i int) *big.Int { return big.NewInt(int64(d.Value(i))) }
		case *array.Decimal64:
			unscaled = func(i int) *big.Int { return big.NewInt(int64(d.Value(i))) }
		case *array.Decimal128:
			unscaled = func(i int) *big.Int { return d.Value(i).BigInt() }
		case *array.Decimal256:
			unscaled = func(i int) *big.Int { return d.Value(i).BigInt() }
		}
		return func(i int) event.Value { return event.DecimalOf(unscaled(i), scale) }
	}
}

// arrowNested reads lists, and maps whose keys are text. Structs become JSON text, as records of Avro do.
func arrowNested(t arrow.DataType) (event.Type, arrowBind) {
	switch x := t.(type) {
	case *arrow.MapType:
		key, keys := arrowColumn(x.KeyType(), false)
		item, items := arrowColumn(x.ItemType(), true)
		if keys == nil || items == nil || key.typ.Kind != event.String {
			return event.Type{}, nil
		}
		return event.Type{Kind: event.Map, Elem: &item.typ}, func(a arrow.Array) arrowValue {
			m := a.(*array.Map)
			return elementsOf(m, event.Map, keys(m.Keys()), items(m.Items()))
		}
	case *arrow.StructType:
		return arrowStruct(x)
	case arrow.ListLikeType:
		item, items := arrowColumn(x.Elem(), true)
		if items == nil {
			return event.Type{}, nil
		}
		return event.Type{Kind: event.List, Elem: &item.typ}, func(a arrow.Array) arrowValue {
			l := a.(array.ListLike)
			return elementsOf(l, event.List, items(l.ListValues()))
		}
	}
	return event.Type{}, nil
}

// elementsOf gathers what a row of a list holds; each of value gives one value of every element.
func elementsOf(l array.ListLike, kind event.Kind, value ...arrowValue) arrowValue {
	var buf []byte
	return func(row int) event.Value {
		buf = buf[:0]
		from, to := l.ValueOffsets(row)
		for i := from; i < to; i++ {
			for _, v := range value {
				buf = event.AppendValue(buf, v(int(i)))
			}
		}
		return event.Value{Kind: kind, Str: event.Alias(buf)}
	}
}

// arrowStruct writes structs as JSON objects.
func arrowStruct(t *arrow.StructType) (event.Type, arrowBind) {
	binds := make([]arrowBind, 0, t.NumFields())
	for _, f := range t.Fields() {
		_, bind := arrowColumn(f.Type, true)
		if bind == nil {
			return event.Type{}, nil
		}
		binds = append(binds, bind)
	}
	return event.Type{Kind: event.String}, func(a arrow.Array) arrowValue {
		s := a.(*array.Struct)
		values := make([]arrowValue, len(binds))
		for i, bind := range binds {
			values[i] = bind(s.Field(i))
		}
		var buf, text []byte
		return func(row int) event.Value {
			buf = buf[:0]
			for i, value := range values {
				buf = event.AppendValue(buf, event.StringOf(t.Field(i).Name))
				buf = event.AppendValue(buf, value(row))
			}
			text = event.AppendJSON(text[:0], event.Value{Kind: event.Map, Str: event.Alias(buf)})
			return event.StringOf(event.Alias(text))
		}
	}
}
