package flights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/penstock-ml/penstock/event"
)

// The pack is `PSFL`, a version byte, and columns, each a length (unsigned varint) and that many bytes
// of one zstd frame. Flights stand in order of carrier, number, origin and destination (a route), then
// of scheduled departure, so that most of what is scheduled equals the row above. Columns hold varints,
// zigzag where signed:
//
//	names     carriers, airports and tail numbers: length, bytes; all three lists led by their length
//	routes    carrier, number, origin, destination (indexes into names), flights
//	days      days since the row above in the route, rounded; in a route's first row since the epoch
//	minutes   what days left over
//	tails     index into the tail numbers plus 1; 0: unknown
//	fates     0 cancelled, 1 departed, 2 arrived
//	departed  departure's delay, unless cancelled
//	blocks    scheduled minutes, less those of the row above in the route, of what arrived
//	gained    arrival's delay less departure's, of what arrived
//	ground    minutes between departure and arrival not spent in the air, of what arrived
//	distances less the distance of the row above
const (
	packMagic   = "PSFL"
	packVersion = 1
)

// The columns of a pack, in order.
const (
	colNames = iota
	colRoutes
	colDays
	colMinutes
	colTails
	colFates
	colDeparted
	colBlocks
	colGained
	colGround
	colDistances
	columns
)

const (
	fateCancelled = iota
	fateDeparted
	fateArrived
)

// epoch is what days and minutes count from.
const epoch = event.Time(1356998400 * int64(event.Second)) // 2013-01-01T00:00:00Z

// maxPack bounds what one column may unpack to.
const maxPack = 16 << 20

func compareRoute(a, b *Flight) int {
	return cmp.Or(cmp.Compare(a.Carrier, b.Carrier), cmp.Compare(a.Number, b.Number),
		cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Dest, b.Dest))
}

func compareSchedule(a, b Flight) int {
	return cmp.Or(cmp.Compare(a.Scheduled, b.Scheduled), compareRoute(&a, &b))
}

// packer writes columns; names are numbered as they come.
type packer struct {
	cols  [columns][]byte
	names map[string]uint64
	lists [3][]string
}

const (
	listCarriers = iota
	listAirports
	listTails
)

func (p *packer) put(col int, n int64)    { p.cols[col] = binary.AppendVarint(p.cols[col], n) }
func (p *packer) count(col int, n int)    { p.cols[col] = binary.AppendUvarint(p.cols[col], uint64(n)) }
func (p *packer) index(col int, n uint64) { p.cols[col] = binary.AppendUvarint(p.cols[col], n) }

func (p *packer) name(list int, s string) uint64 {
	key := string(rune('0'+list)) + s
	n, ok := p.names[key]
	if !ok {
		n = uint64(len(p.lists[list]))
		p.names[key] = n
		p.lists[list] = append(p.lists[list], s)
	}
	return n
}

// Pack writes flights in the form that Unpack reads. Equal flights in any order give equal bytes.
func Pack(list []Flight) ([]byte, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Flight) int {
		return cmp.Or(compareRoute(&a, &b), cmp.Compare(a.Scheduled, b.Scheduled))
	})
	p := packer{names: map[string]uint64{}}
	var distance int
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && compareRoute(&list[from], &list[to]) == 0 {
			to++
		}
		f := &list[from]
		p.index(colRoutes, p.name(listCarriers, f.Carrier))
		p.count(colRoutes, f.Number)
		p.index(colRoutes, p.name(listAirports, f.Origin))
		p.index(colRoutes, p.name(listAirports, f.Dest))
		p.count(colRoutes, to-from)
		p.route(list[from:to], &distance)
		from = to
	}
	for _, list := range p.lists {
		p.count(colNames, len(list))
		for _, s := range list {
			p.count(colNames, len(s))
			p.cols[colNames] = append(p.cols[colNames], s...)
		}
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("pack flights: %w", err)
	}
	defer func() { _ = enc.Close() }()
	out := append([]byte(packMagic), packVersion)
	for _, col := range p.cols {
		b := enc.EncodeAll(col, nil)
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out, nil
}

// route writes the flights of one route; distance is that of the row above.
func (p *packer) route(list []Flight, distance *int) {
	const day = int64(event.Day / event.Minute)
	var block int
	above := epoch
	for i := range list {
		f := &list[i]
		delta := int64(f.Scheduled.Sub(above) / event.Minute)
		days := (delta + day/2) / day
		p.put(colDays, days)
		p.put(colMinutes, delta-days*day)
		above = f.Scheduled
		p.put(colDistances, int64(f.Distance-*distance))
		*distance = f.Distance
		if f.Tail == "" {
			p.count(colTails, 0)
		} else {
			p.index(colTails, p.name(listTails, f.Tail)+1)
		}
		switch {
		case !f.Departed:
			p.count(colFates, fateCancelled)
			continue
		case !f.Arrived:
			p.count(colFates, fateDeparted)
			p.put(colDeparted, int64(f.DepDelay))
			continue
		}
		p.count(colFates, fateArrived)
		p.put(colDeparted, int64(f.DepDelay))
		p.put(colBlocks, int64(f.Block-block))
		block = f.Block
		p.put(colGained, int64(f.ArrDelay-f.DepDelay))
		p.put(colGround, int64(f.Block+f.ArrDelay-f.DepDelay-f.AirTime))
	}
}

var errPack = errors.New("unpack flights: the pack is damaged")

// unpacker reads columns; the first damage sticks.
type unpacker struct {
	cols  [columns][]byte
	lists [3][]string
	err   error
}

func (u *unpacker) get(col int) int {
	n, w := binary.Varint(u.cols[col])
	if w <= 0 {
		u.err = errPack
		return 0
	}
	u.cols[col] = u.cols[col][w:]
	return int(n)
}

func (u *unpacker) count(col int) int {
	n, w := binary.Uvarint(u.cols[col])
	if w <= 0 || n > maxPack {
		u.err = errPack
		return 0
	}
	u.cols[col] = u.cols[col][w:]
	return int(n)
}

func (u *unpacker) name(list, i int) string {
	if i < 0 || i >= len(u.lists[list]) {
		u.err = errPack
		return ""
	}
	return u.lists[list][i]
}

// Unpack reads what Pack wrote, ordered as All is.
func Unpack(b []byte) ([]Flight, error) {
	if len(b) <= len(packMagic) || string(b[:len(packMagic)]) != packMagic {
		return nil, errPack
	}
	if v := b[len(packMagic)]; v != packVersion {
		return nil, fmt.Errorf("unpack flights: the pack has version %d, not %d", v, packVersion)
	}
	u, err := openColumns(b[len(packMagic)+1:])
	if err != nil {
		return nil, err
	}
	for i := range u.lists {
		for n := u.count(colNames); n > 0 && u.err == nil; n-- {
			size := u.count(colNames)
			if size > len(u.cols[colNames]) {
				return nil, errPack
			}
			u.lists[i] = append(u.lists[i], string(u.cols[colNames][:size]))
			u.cols[colNames] = u.cols[colNames][size:]
		}
	}
	var out []Flight
	var distance int
	for len(u.cols[colRoutes]) > 0 && u.err == nil {
		carrier := u.name(listCarriers, u.count(colRoutes))
		f := Flight{Carrier: carrier, Number: u.count(colRoutes)}
		f.Origin = u.name(listAirports, u.count(colRoutes))
		f.Dest = u.name(listAirports, u.count(colRoutes))
		out = u.route(out, f, u.count(colRoutes), &distance)
	}
	for _, col := range u.cols {
		if len(col) > 0 {
			return nil, errPack
		}
	}
	if u.err != nil {
		return nil, u.err
	}
	slices.SortFunc(out, compareSchedule)
	return out, nil
}

func openColumns(b []byte) (*unpacker, error) {
	dec, err := zstd.NewReader(bytes.NewReader(nil), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPack))
	if err != nil {
		return nil, fmt.Errorf("unpack flights: %w", err)
	}
	defer dec.Close()
	u := &unpacker{}
	for i := range u.cols {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, errPack
		}
		if u.cols[i], err = dec.DecodeAll(b[w:w+int(n)], nil); err != nil {
			return nil, fmt.Errorf("unpack flights: column %d: %w", i, err)
		}
		b = b[w+int(n):]
	}
	if len(b) > 0 {
		return nil, errPack
	}
	return u, nil
}

// route reads n flights of the route that f names.
func (u *unpacker) route(out []Flight, f Flight, n int, distance *int) []Flight {
	const day = int(event.Day / event.Minute)
	var block int
	above := epoch
	for ; n > 0 && u.err == nil; n-- {
		f := f
		above = above.Add(minutes(u.get(colDays)*day + u.get(colMinutes)))
		f.Scheduled = above
		*distance += u.get(colDistances)
		f.Distance = *distance
		if i := u.count(colTails); i > 0 {
			f.Tail = u.name(listTails, i-1)
		}
		fate := u.count(colFates)
		if fate > fateArrived {
			u.err = errPack
		}
		if f.Departed = fate >= fateDeparted; f.Departed {
			f.DepDelay = u.get(colDeparted)
		}
		if f.Arrived = fate == fateArrived; f.Arrived {
			block += u.get(colBlocks)
			f.Block = block
			f.ArrDelay = f.DepDelay + u.get(colGained)
			f.AirTime = f.Block + f.ArrDelay - f.DepDelay - u.get(colGround)
		}
		out = append(out, f)
	}
	return out
}
