package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// decoders decode the values of one Kafka source. Safe for concurrent use.
type decoders struct {
	registry *schemas.Registry // nil: the source's own schema writes every value, whatever its id
	byID     *schemas.Decoders
	slots    int
}

// columnNames are the paths that a source's slots hold.
func columnNames(src *pipeline.Source) []string {
	names := make([]string, len(src.Columns))
	for i, c := range src.Columns {
		names[i] = c.Name
	}
	return names
}

// newDecoders prepares decoding for a Kafka source; nil for files.
func (r *Runner) newDecoders(src *pipeline.Source) (*decoders, error) {
	if src.Kafka == nil {
		return nil, nil
	}
	d := &decoders{slots: len(src.Columns)}
	var err error
	if ref := src.Registry; ref != nil {
		d.registry, err = schemas.NewRegistry(schemas.RegistryOptions{URL: ref.URL, Username: ref.Username, Password: ref.Password})
		if err != nil {
			return nil, err
		}
	}
	if d.byID, err = schemas.NewDecoders(d.registry, src.Schema, columnNames(src)); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *decoders) close() {
	if d != nil && d.registry != nil {
		d.registry.Close()
	}
}

// decoder decodes the values of one partition. Not for concurrent use.
type decoder struct {
	d       *decoders
	lastID  uint32
	last    *schemas.Decoder
	slots   []event.Value // of the last value decoded
	scratch schemas.Scratch
}

func (d *decoders) decoder() *decoder {
	return &decoder{d: d, slots: make([]event.Value, d.slots)}
}

// verdict is what became of a value: decoded, dead for a reason, or to be waited for.
type verdict struct {
	reason, detail string // a dead letter's
	wait           string // why it cannot be decoded just now
}

// decode decodes value into d.slots, which alias it.
func (d *decoder) decode(ctx context.Context, value []byte) verdict {
	if len(value) == 0 {
		if value == nil {
			return verdict{reason: "empty", detail: "the value is null"}
		}
		return verdict{reason: "empty", detail: "the value has no bytes"}
	}
	id, datum, err := schemas.Header(value)
	if err != nil {
		reason := "magic"
		if errors.Is(err, schemas.ErrTruncated) {
			reason = "truncated"
		}
		return verdict{reason: reason, detail: err.Error()}
	}
	dec := d.last
	if dec == nil || id != d.lastID {
		if dec, err = d.d.byID.For(ctx, id); err != nil {
			if errors.Is(err, schemas.ErrUnknownSchema) {
				return verdict{reason: "schema", detail: fmt.Sprintf("schema %d: %v", id, err)}
			}
			return verdict{wait: err.Error()}
		}
		d.last, d.lastID = dec, id
	}
	if err := dec.Decode(datum, d.slots, &d.scratch); err != nil {
		return verdict{reason: "decode", detail: fmt.Sprintf("schema %d: %v", id, err)}
	}
	return verdict{}
}
