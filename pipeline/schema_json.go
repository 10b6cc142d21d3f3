package pipeline

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/penstock-ml/penstock/transforms/agg"
)

// JSONSchema is the JSON Schema (draft 7) of the pipeline file, for completion in editors. It is
// made from the grammar that Compile checks, and allows what Compile allows and a little more: what
// goes beyond the form of single keys (types, references) only Compile knows.
func JSONSchema() []byte {
	defs := map[string]any{}
	for _, o := range objects() {
		if o != grammar {
			defs[o.name] = objectSchema(o)
		}
	}
	root := objectSchema(grammar)
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "Penstock pipeline"
	root["definitions"] = defs
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic("pipeline: encode the JSON Schema: " + err.Error())
	}
	return b.Bytes()
}

// objects lists the objects of the grammar, each before those that it contains.
func objects() []*object {
	var list []*object
	seen := map[*object]bool{}
	var visit func(s *shape)
	add := func(o *object) {
		if seen[o] {
			return
		}
		seen[o] = true
		list = append(list, o)
		for _, k := range o.keys {
			visit(k.shape)
		}
	}
	visit = func(s *shape) {
		if s == nil {
			return
		}
		if s.object != nil {
			add(s.object)
		}
		visit(s.names)
		visit(s.items)
	}
	add(grammar)
	return list
}

func objectSchema(o *object) map[string]any {
	properties := map[string]any{}
	required := []string{}
	choice := []any{}
	for _, k := range o.keys {
		s := shapeSchema(k.shape)
		doc := k.doc
		if k.standard != "" {
			doc += " Default: " + k.standard + "."
		}
		if s["$ref"] != nil {
			s = map[string]any{"allOf": []any{s}} // draft 7 ignores what stands beside a $ref
		}
		s["description"] = doc
		properties[k.name] = s
		if k.required {
			required = append(required, k.name)
		}
		if k.oneOf != "" {
			choice = append(choice, map[string]any{"required": []string{k.name}})
		}
	}
	out := map[string]any{
		"type": "object", "description": o.doc, "properties": properties, "additionalProperties": false,
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if len(choice) > 0 {
		out["oneOf"] = choice
	}
	if slices.Contains([]*object{featureGrammar, innerGrammar, termGrammar, labelAggregateGrammar}, o) {
		var any_ []any
		for _, name := range agg.Names() {
			if o.key(name) != nil {
				any_ = append(any_, map[string]any{"required": []string{name}})
			}
		}
		out["anyOf"] = any_
	}
	return out
}

func shapeSchema(s *shape) map[string]any {
	var parts []map[string]any
	if s.format != noScalar {
		parts = append(parts, scalarSchema(s))
	}
	if s.object != nil {
		parts = append(parts, map[string]any{"$ref": "#/definitions/" + s.object.name})
	}
	if s.names != nil {
		parts = append(parts, map[string]any{
			"type": "object", "minProperties": 1, "additionalProperties": false,
			"patternProperties": map[string]any{"^[A-Za-z][A-Za-z0-9_]*$": shapeSchema(s.names)},
		})
	}
	if s.items != nil {
		parts = append(parts, map[string]any{"type": "array", "minItems": 1, "items": shapeSchema(s.items)})
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return map[string]any{"anyOf": parts}
}

// envPattern matches what comes from the environment, about which nothing is known.
const envPattern = `|\$\{`

func scalarSchema(s *shape) map[string]any {
	pattern := func(p string) map[string]any {
		return map[string]any{"type": "string", "pattern": "(" + p + ")" + envPattern}
	}
	switch s.format {
	case nameText:
		return pattern(`^[A-Za-z][A-Za-z0-9_]*$`)
	case pipelineText:
		return pattern(pipelineName.String())
	case dottedText:
		return pattern(`^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$`)
	case durationText, spanText:
		return pattern(`^([0-9]+(us|ms|s|m|h|d|w))+$`)
	case windowText:
		return pattern(`^([0-9]+(us|ms|s|m|h|d|w))+$|^lifetime$`)
	case sizeText:
		return pattern(`^[0-9]+(KiB|MiB|GiB)$`)
	case startText:
		return pattern(`^(earliest|latest)$|^[0-9]{4}-[0-9]{2}-[0-9]{2}T`)
	case urlText:
		return pattern(`^https?://`)
	case intText:
		return map[string]any{"anyOf": []any{map[string]any{"type": "integer"}, pattern(`^[+-]?[0-9]+$`)}}
	case numberText:
		return map[string]any{"anyOf": []any{map[string]any{"type": "number"}, pattern(`^[+-]?[0-9.]`)}}
	case instantText:
		return pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T|$)`)
	case shareText, splitShareText:
		share := `^[0-9.eE-]+ *%?$`
		if s.format == splitShareText {
			share += `|^rest$`
		}
		return map[string]any{"anyOf": []any{map[string]any{"type": "number"}, pattern(share)}}
	case secretScalar:
		return map[string]any{"type": "string", "pattern": `\$\{`}
	case refText, brokerText:
		return map[string]any{"type": "string", "minLength": 1}
	case boolText:
		return map[string]any{"anyOf": []any{map[string]any{"type": "boolean"}, pattern("^(true|false)$")}}
	case enumText, columnTypeText:
		return map[string]any{"anyOf": []any{map[string]any{"enum": s.enum}, map[string]any{"type": "string", "pattern": `\$\{`}}}
	case literalText:
		return map[string]any{"type": []string{"string", "number", "boolean", "null", "array", "object"}}
	}
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}
