package stream

import (
	"errors"
	"fmt"
	"io"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
)

// avroRows reads an Avro object container file, resolved against the source's schema. A datum that does
// not decode is a bad row if its end can be found; otherwise nothing tells where the next one begins.
type avroRows struct {
	in      io.Closer
	ocf     *schemas.OCF
	dec     *schemas.Decoder
	scratch schemas.Scratch
}

func (f *fileSource) openAvro(in io.ReadCloser) (rowReader, error) {
	ocf, err := schemas.NewOCF(in)
	if err != nil {
		return nil, err
	}
	dec, err := schemas.Compile(ocf.Schema(), f.src.Schema, columnNames(f.src))
	if err != nil {
		ocf.Close()
		return nil, fmt.Errorf("resolve the file's schema: %w", err)
	}
	return &avroRows{in: in, ocf: ocf, dec: dec}, nil
}

func (a *avroRows) read(slots []event.Value) error {
	err := a.ocf.Read(a.dec, slots, &a.scratch)
	if raw := a.ocf.Raw(); err != nil && raw != nil && !errors.Is(err, schemas.ErrContainer) {
		return &badRow{raw: raw, err: err}
	}
	return err
}

func (a *avroRows) close() error {
	a.ocf.Close()
	return a.in.Close()
}
