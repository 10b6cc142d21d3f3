package pipeline

import "github.com/penstock-ml/penstock/transforms/agg"

// The grammar of the pipeline file is data: from it come the check for unknown keys and their
// hints, the JSON Schema for editors, and the reference page. grammar_file.go holds the grammar
// itself.

// format is what the text of a scalar must look like.
type format uint8

const (
	noScalar       format = iota
	anyText               // any text that is not empty
	nameText              // a name: letters, digits, _
	pipelineText          // a name in which . and - may stand too
	refText               // the name of something else in the file; checked where it is used
	dottedText            // view.feature
	exprText              // a row expression
	aggText               // a row expression, or * for count
	durationText          // a duration, zero too
	spanText              // a duration above zero
	windowText            // a duration above zero, or lifetime
	zoneText              // a time zone of the IANA database
	sizeText              // a number of KiB, MiB or GiB
	startText             // earliest, latest, an instant
	boolText              // true or false
	enumText              // one of shape.enum
	literalText           // a constant, null too
	urlText               // an http or https address
	secretScalar          // a secret: only from the environment
	lastText              // a column to aggregate, or how many rows
	brokerText            // host:port, several with commas between
	columnTypeText        // a type of a key or a request column
	intText               // a whole number
	numberText            // a number
	instantText           // an instant, or a date
	shareText             // a percentage, or a number above 0 and at most 1
	splitShareText        // a share, or rest
)

// shape is what may stand at a place: any of its parts that are set.
type shape struct {
	format format
	enum   []string // of enumText
	object *object  // a mapping with fixed keys
	names  *shape   // a mapping from names that users choose
	label  string   // with names: what one is called in messages, like "view"
	items  *shape   // a list
}

// object is a mapping with fixed keys.
type object struct {
	name    string // in the reference and the JSON Schema
	doc     string
	example string // in YAML, for the reference
	keys    []key
	hint    string // where none of the keys stands of which one must
}

// key is one key of an object.
type key struct {
	name     string
	shape    *shape
	doc      string
	standard string // the default, as the reference shows it
	required bool
	oneOf    string // keys with the same text here exclude each other, and one must be there
}

// key finds a key by its name, or nil.
func (o *object) key(name string) *key {
	for i := range o.keys {
		if o.keys[i].name == name {
			return &o.keys[i]
		}
	}
	return nil
}

func (o *object) keyNames() []string {
	names := make([]string, len(o.keys))
	for i, k := range o.keys {
		names[i] = k.name
	}
	return names
}

// shownKeys are keyNames, with the aggregates in one word.
func (o *object) shownKeys() []string {
	var names []string
	aggregates := 0
	for _, name := range o.keyNames() {
		_, is := agg.ByName(name)
		if is {
			aggregates++
		}
		if !is || o.key("sum") == nil {
			names = append(names, name)
		}
	}
	if aggregates > 0 && o.key("sum") != nil {
		names = append([]string{"an aggregate (" + aggregateList() + ")"}, names...)
	}
	return names
}

// text makes a shape of a scalar.
func text(f format) *shape { return &shape{format: f} }

func enum(values ...string) *shape { return &shape{format: enumText, enum: values} }
