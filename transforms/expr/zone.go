package expr

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-ml/penstock/transforms/zone"
)

// openZone opens a named zone. UTC is nil: it needs no data.
func openZone(name string) (*time.Location, error) {
	if name == "UTC" {
		return nil, nil
	}
	l, err := zone.Load(name)
	if errors.Is(err, zone.ErrUnknown) {
		hint := "zones are named like America/New_York"
		if best, ok := Nearest(name, zone.Names()); ok {
			hint = "did you mean " + best + "?"
		}
		return nil, &Error{Msg: fmt.Sprintf("%q is not a time zone", name), Hint: hint}
	}
	return l, err
}
