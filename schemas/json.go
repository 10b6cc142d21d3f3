package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// jsonKind is the kind of a JSON value.
type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

var jsonKindNames = [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}

// jsonValue is a JSON value that keeps the order of an object's members and the digits of a number.
type jsonValue struct {
	kind  jsonKind
	truth bool
	text  string      // of a string or number
	items []jsonValue // of an array; the members' values of an object
	keys  []string    // of an object
}

// maxJSONDepth bounds the nesting of a schema's JSON: a record level takes up to four of it.
const maxJSONDepth = 4*maxSchemaDepth + 8

// readJSON reads exactly one JSON value; the size of text is bounded by the caller.
func readJSON(text []byte) (jsonValue, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := readJSONValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return v, fmt.Errorf("read json: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, errors.New("read json: there is more after the end of the value")
	}
	return v, nil
}

func readJSONValue(d *json.Decoder, depth int) (jsonValue, error) {
	if depth > maxJSONDepth {
		return jsonValue{}, fmt.Errorf("nested more than %d levels deep", maxJSONDepth)
	}
	t, err := d.Token()
	if err != nil {
		return jsonValue{}, err
	}
	switch t := t.(type) {
	case bool:
		return jsonValue{kind: jsonBool, truth: t}, nil
	case json.Number:
		return jsonValue{kind: jsonNumber, text: t.String()}, nil
	case string:
		return jsonValue{kind: jsonString, text: t}, nil
	case json.Delim:
		v := jsonValue{kind: jsonArray}
		if t == '{' {
			v.kind = jsonObject
		}
		for d.More() {
			if v.kind == jsonObject {
				k, err := d.Token()
				if err != nil {
					return v, err
				}
				v.keys = append(v.keys, k.(string))
			}
			item, err := readJSONValue(d, depth+1)
			if err != nil {
				return v, err
			}
			v.items = append(v.items, item)
		}
		_, err := d.Token()
		return v, err
	}
	return jsonValue{}, nil
}

// get returns the member of an object by its key; of equal keys the last.
func (v *jsonValue) get(key string) (*jsonValue, bool) {
	for i := len(v.keys) - 1; i >= 0; i-- {
		if v.keys[i] == key {
			return &v.items[i], true
		}
	}
	return nil, false
}

// str returns a member that is a string, or "".
func (v *jsonValue) str(key string) string {
	if m, ok := v.get(key); ok && m.kind == jsonString {
		return m.text
	}
	return ""
}

// integer returns a member that is an integer.
func (v *jsonValue) integer(key string) (int64, bool) {
	m, ok := v.get(key)
	if !ok || m.kind != jsonNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(m.text, 10, 64)
	return n, err == nil
}

// append writes v as compact JSON.
func (v *jsonValue) append(dst []byte) []byte {
	switch v.kind {
	case jsonNull:
		return append(dst, "null"...)
	case jsonBool:
		return strconv.AppendBool(dst, v.truth)
	case jsonNumber:
		return append(dst, v.text...)
	case jsonString:
		return appendQuoted(dst, v.text)
	case jsonArray:
		dst = append(dst, '[')
		for i := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.items[i].append(dst)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i := range v.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, v.keys[i])
		dst = append(dst, ':')
		dst = v.items[i].append(dst)
	}
	return append(dst, '}')
}

// appendQuoted writes s as a JSON string, without escaping for HTML.
func appendQuoted(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("encode a string as json: " + err.Error()) // cannot happen: every string has a JSON form
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
