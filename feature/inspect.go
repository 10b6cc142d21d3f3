package feature

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// Inspection is what a state holds, counted by walking through all of it.
type Inspection struct {
	Pipeline   string                `json:"pipeline"`
	Format     int                   `json:"format"`
	Views      []ViewInspection      `json:"views"`
	Partitions []PartitionInspection `json:"partitions"`
	Dead       map[string]int64      `json:"dead_letters"` // by reason
}

// ViewInspection is what is kept of a view.
type ViewInspection struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Entities  int64  `json:"entities"`
	HeadRows  int64  `json:"head_rows"`
	HeadBytes int64  `json:"head_bytes"`
	Leaves    int64  `json:"leaves"`
	LeafRows  int64  `json:"leaf_rows"`
	Nodes     int64  `json:"nodes"`
	Rows      int64  `json:"rows"`     // in heads and leaves
	Blocks    int64  `json:"blocks"`   // leaves and nodes
	Trimmed   int64  `json:"trimmed"`  // rows that were folded into sums, since no answer needs them any more
	Bytes     int64  `json:"bytes"`    // keys and values of heads and blocks
	Features  int    `json:"features"` // of the view; 0: the state is older than the count
	Depth     int    `json:"depth"`    // levels of the deepest archive, its leaves and root counted
	Orphans   int64  `json:"orphans"`
	Largest   int64  `json:"largest_entity_rows"`

	// Duplicates are the rows of each source that dedupe leaves out; the outcomes of partitions have them under
	// applied, since a copy that arrives later may change which they are.
	Duplicates map[string]int64 `json:"duplicates,omitempty"`
}

// PartitionInspection is the stored record of a partition.
type PartitionInspection struct {
	Source    string             `json:"source"`
	Partition int32              `json:"partition"`
	Next      int64              `json:"next"`
	Seen      int64              `json:"seen"` // beyond the newest record that a head may rest on
	Watermark string             `json:"watermark,omitempty"`
	Read      int64              `json:"read"`
	Views     map[string][]int64 `json:"views"` // applied, filtered, duplicate, late, dead
}

// Inspect walks through st. It needs no plan.
func Inspect(st state.Store) (*Inspection, error) {
	snap := st.Snapshot()
	defer snap.Close()
	b, err := snap.Get([]byte(keyPlan), nil)
	if errors.Is(err, state.ErrNotFound) {
		return nil, errors.New("the state is empty: no pipeline has run on it")
	}
	if err != nil {
		return nil, fmt.Errorf("read the stored plan: %w", err)
	}
	var plan storedPlan
	if err := json.Unmarshal(b, &plan); err != nil {
		return nil, fmt.Errorf("read the stored plan: %w", err)
	}
	x := &Inspection{Pipeline: plan.Pipeline, Format: plan.Format, Dead: map[string]int64{}}
	byID := map[uint16]int{}
	for name, v := range plan.Views {
		x.Views = append(x.Views, ViewInspection{Name: name, Version: v.Version, Features: v.Features})
	}
	sort.Slice(x.Views, func(i, j int) bool { return x.Views[i].Name < x.Views[j].Name })
	for i := range x.Views {
		byID[plan.Views[x.Views[i].Name].ID] = i
	}
	for i := range x.Views {
		if x.Views[i].Duplicates, err = readDropped(snap, x.Views[i].Name); err != nil {
			return nil, err
		}
	}
	if err := inspectEntities(snap, x, byID); err != nil {
		return nil, err
	}
	if err := inspectPartitions(snap, x); err != nil {
		return nil, err
	}
	err = scanDead(snap, func(d *DeadLetter) error { x.Dead[d.Reason]++; return nil })
	for i := range x.Views {
		v := &x.Views[i]
		v.Rows, v.Blocks = v.HeadRows+v.LeafRows, v.Leaves+v.Nodes
	}
	return x, err
}

// inspectEntities walks over heads and blocks: the blocks of an entity follow its head.
func inspectEntities(snap state.Snapshot, x *Inspection, byID map[uint16]int) error {
	var prefix string
	var named map[uint64]bool
	var v *ViewInspection
	view := func(key []byte) (*ViewInspection, error) {
		i, ok := byID[viewOf(key)]
		if !ok {
			return nil, fmt.Errorf("key %x is of a view that the plan does not know", key)
		}
		return &x.Views[i], nil
	}
	for e, err := range snap.Scan(nil, []byte(metaPrefix)) {
		if err != nil {
			return err
		}
		if len(prefix) == 0 || len(e.Key) != len(prefix)+9 || string(e.Key[:len(prefix)]) != prefix {
			if len(e.Key) < 5 {
				return fmt.Errorf("key %x is neither a head nor a block", e.Key)
			}
			var err error
			if v, err = view(e.Key); err != nil {
				return err
			}
			if headless(snap, e) { // a crash came between the first blocks of an entity and its head
				v.Orphans++
				continue
			}
			if e.Key[len(e.Key)-1] != kindHead {
				return fmt.Errorf("key %x is neither a head nor a block of the head before it", e.Key)
			}
			prefix = string(e.Key[:len(e.Key)-1])
			if named, err = inspectHead(snap, v, prefix, e.Value); err != nil {
				return fmt.Errorf("key %x: %w", e.Key, err)
			}
			continue
		}
		id := uint64(0)
		for _, c := range e.Key[len(prefix)+1:] {
			id = id<<8 | uint64(c)
		}
		if !named[id] {
			v.Orphans++
			continue
		}
		v.Bytes += int64(len(e.Key) + len(e.Value))
	}
	return nil
}

// headless tells that e is a block of an entity that has no head. A block's number may end as a head's
// key does, but its value is not one.
func headless(snap state.Snapshot, e state.Entry) bool {
	n := len(e.Key) - 9
	if n < 4 || e.Key[n] != kindBlock {
		return false
	}
	if e.Key[len(e.Key)-1] == kindHead {
		if _, err := decodeHead(e.Value); err == nil {
			return false
		}
	}
	_, err := snap.Get(headKey(nil, string(e.Key[:n])), nil)
	return errors.Is(err, state.ErrNotFound)
}

// inspectHead counts a head and its tree, checks the tree's summaries, and returns the ids of its blocks.
func inspectHead(snap state.Snapshot, v *ViewInspection, prefix string, value []byte) (map[uint64]bool, error) {
	s, err := decodeHead(value)
	if err != nil {
		return nil, err
	}
	v.Entities++
	v.HeadBytes += int64(len(value))
	v.Bytes += int64(len(prefix) + 1 + len(value))
	rows, err := countRows(s.rows)
	if err != nil {
		return nil, err
	}
	v.HeadRows += int64(rows)
	named := map[uint64]bool{}
	total := int64(rows)
	if s.root != nil && s.root.base != nil {
		v.Trimmed += s.root.base.rows
	}
	if s.root != nil && len(s.root.entries) > 0 {
		n, err := inspectNode(snap, v, prefix, s.root, named)
		if err != nil {
			return nil, err
		}
		total += n
		v.Depth = max(v.Depth, s.root.level+2)
	}
	v.Largest = max(v.Largest, total)
	return named, nil
}

// inspectNode counts what is below n and checks that each entry tells the truth about its block.
func inspectNode(snap state.Snapshot, v *ViewInspection, prefix string, n *node, named map[uint64]bool) (rows int64, err error) {
	for i := range n.entries {
		e := &n.entries[i]
		named[e.id] = true
		b, err := snap.Get(blockKey(nil, prefix, e.id), nil)
		if err != nil {
			return 0, fmt.Errorf("block %d: %w", e.id, err)
		}
		below := int64(0)
		least, most := event.MaxTime, event.MinTime
		if n.level > 0 {
			child, err := decodeNode(b)
			if err != nil {
				return 0, fmt.Errorf("block %d: %w", e.id, err)
			}
			v.Nodes++
			for j := range child.entries {
				least, most = min(least, child.entries[j].minT), max(most, child.entries[j].maxT)
			}
			if below, err = inspectNode(snap, v, prefix, child, named); err != nil {
				return 0, err
			}
		} else {
			if b, err = leafOf(b); err != nil {
				return 0, fmt.Errorf("block %d: %w", e.id, err)
			}
			list, err := splitRows(nil, b)
			if err != nil {
				return 0, fmt.Errorf("block %d: %w", e.id, err)
			}
			for _, r := range list {
				least, most = min(least, r.t), max(most, r.t)
			}
			v.Leaves++
			below = int64(len(list))
			v.LeafRows += below
		}
		if below != e.rows || least != e.minT || most != e.maxT {
			return 0, fmt.Errorf("block %d holds %d rows from %s to %s, its entry says %d from %s to %s", e.id, below, least, most, e.rows, e.minT, e.maxT)
		}
		rows += below
	}
	return rows, nil
}

func inspectPartitions(snap state.Snapshot, x *Inspection) error {
	place := map[string]int{}
	for e, err := range snap.Scan([]byte(keyParts), prefixEnd([]byte(keyParts))) {
		if err != nil {
			return err
		}
		var rec partitionRecord
		if err := json.Unmarshal(e.Value, &rec); err != nil {
			return fmt.Errorf("key %x: %w", e.Key, err)
		}
		source, num := splitPartitionKey(string(e.Key[len(keyParts):]))
		p := PartitionInspection{Source: source, Partition: num, Next: rec.Next, Read: rec.Read, Views: rec.Views}
		if rec.Watermark != event.MinTime {
			p.Watermark = rec.Watermark.String()
		}
		place[string(e.Key[len(keyParts):])] = len(x.Partitions)
		x.Partitions = append(x.Partitions, p)
	}
	for e, err := range snap.Scan([]byte(keySeen), prefixEnd([]byte(keySeen))) {
		if err != nil {
			return err
		}
		var seen Seen
		if err := json.Unmarshal(e.Value, &seen); err != nil {
			return fmt.Errorf("key %x: %w", e.Key, err)
		}
		if i, ok := place[string(e.Key[len(keySeen):])]; ok {
			x.Partitions[i].Seen = seen.Offset + 1
		}
	}
	return nil
}

// splitPartitionKey reads source \x00 partition.
func splitPartitionKey(s string) (source string, num int32) {
	n := len(s) - 5
	if n < 0 {
		return s, 0
	}
	return s[:n], int32(uint32(s[n+1])<<24 | uint32(s[n+2])<<16 | uint32(s[n+3])<<8 | uint32(s[n+4]))
}
