package feature

import "encoding/binary"

// arena keeps the bytes of a shard's heads in pages without pointers, so that the garbage collector has
// nothing to look through, however many heads there are. Blocks are laid one behind the other; what is freed
// leaves holes, and when holes take too much, the emptiest page is emptied by laying its blocks anew
// (a log-structured memory: Rumble, Kejriwal, Ousterhout, FAST 2014).
//
// A block is [owner 4 | size 4 | bytes], its size a multiple of 8 that counts these 8 bytes. A block too
// large for a page has one of its own, which is never written again once it is freed: who holds a slice of
// such a block may go on reading it.
type arena struct {
	pages []arenaPage
	gone  []uint32 // numbers of pages without memory
	spare [][]byte // of emptied pages
	cur   uint32   // the page that is being filled
	live  int64    // bytes of blocks
	held  int64    // bytes of pages
}

type arenaPage struct {
	mem  []byte
	used uint32
	live uint32
	own  bool // of one block
}

// ref is where a block lies: its page and its place there.
type ref struct{ page, off uint32 }

const (
	arenaPageBytes = 128 << 10
	arenaPageMin   = 4 << 10
	arenaOwnBytes  = arenaPageBytes / 8 // a larger block has a page of its own
	blockHeader    = 8
	noOwner        = 1<<32 - 1
	sparePages     = 2
)

// alloc lays a block of at least n bytes for owner and returns it with all of its room.
func (a *arena) alloc(owner uint32, n int) (ref, []byte) {
	size := uint32(n+blockHeader+7) &^ 7
	var r ref
	if size > arenaOwnBytes {
		r = ref{page: a.page(make([]byte, size), true)}
	} else {
		if len(a.pages) == 0 || int(a.pages[a.cur].used+size) > len(a.pages[a.cur].mem) {
			a.turn(int64(size))
		}
		r = ref{a.cur, a.pages[a.cur].used}
	}
	p := &a.pages[r.page]
	p.used += size
	p.live += size
	a.live += int64(size)
	b := p.mem[r.off : r.off+size : r.off+size]
	binary.LittleEndian.PutUint32(b, owner)
	binary.LittleEndian.PutUint32(b[4:], size)
	return r, b[blockHeader:]
}

// turn begins a new page with room for size. The first pages of a small arena are small.
func (a *arena) turn(size int64) {
	var mem []byte
	if n := len(a.spare); a.held < 16*arenaPageBytes {
		mem = make([]byte, max(min(a.held/16&^7, arenaPageBytes), size, arenaPageMin))
	} else if n > 0 {
		mem, a.spare = a.spare[n-1], a.spare[:n-1]
		a.held -= arenaPageBytes // page counts it again
	} else {
		mem = make([]byte, arenaPageBytes)
	}
	was := a.cur
	a.cur = a.page(mem, false)
	if int(was) < len(a.pages) && was != a.cur && a.pages[was].live == 0 {
		a.drop(was)
	}
}

func (a *arena) page(mem []byte, own bool) uint32 {
	a.held += int64(len(mem))
	p := arenaPage{mem: mem, own: own}
	if n := len(a.gone); n > 0 {
		num := a.gone[n-1]
		a.gone = a.gone[:n-1]
		a.pages[num] = p
		return num
	}
	a.pages = append(a.pages, p)
	return uint32(len(a.pages) - 1)
}

// drop gives the memory of a page up.
func (a *arena) drop(num uint32) {
	p := &a.pages[num]
	if len(p.mem) == arenaPageBytes && !p.own && len(a.spare) < sparePages {
		a.spare = append(a.spare, p.mem) // still held
	} else {
		a.held -= int64(len(p.mem))
	}
	*p = arenaPage{}
	a.gone = append(a.gone, num)
}

// block returns the bytes of the block at r.
func (a *arena) block(r ref) []byte {
	p := a.pages[r.page].mem
	size := binary.LittleEndian.Uint32(p[r.off+4:])
	return p[r.off+blockHeader : r.off+size : r.off+size]
}

// owned tells that the block at r has a page of its own.
func (a *arena) owned(r ref) bool { return a.pages[r.page].own }

// free gives a block up.
func (a *arena) free(r ref) {
	p := &a.pages[r.page]
	if p.own {
		a.live -= int64(p.live)
		a.drop(r.page)
		return
	}
	b := p.mem[r.off:]
	binary.LittleEndian.PutUint32(b, noOwner)
	size := binary.LittleEndian.Uint32(b[4:])
	p.live -= size
	a.live -= int64(size)
	if p.live > 0 {
		return
	}
	if r.page == a.cur {
		p.used = 0
		return
	}
	a.drop(r.page)
}

// used is how much is in use: what is held but for the room of the page being filled and spare pages.
func (a *arena) used() int64 {
	n := a.held - int64(len(a.spare))*arenaPageBytes
	if len(a.pages) > 0 {
		n -= int64(len(a.pages[a.cur].mem)) - int64(a.pages[a.cur].used)
	}
	return n
}

// holes is how much of what is in use is free.
func (a *arena) holes() int64 { return a.used() - a.live }

// loose tells that holes take more than a quarter of what is held.
func (a *arena) loose() bool {
	if len(a.pages) == 0 {
		return false
	}
	return a.holes() > a.held/4+int64(2*len(a.pages[a.cur].mem))
}

// clean empties the page with the most holes, telling moved where each of its blocks lies now. It is false
// if there is none worth it.
func (a *arena) clean(moved func(owner uint32, r ref)) bool {
	best, most := -1, 0
	for i := range a.pages {
		p := &a.pages[i]
		if holes := len(p.mem) - int(p.live); p.mem != nil && !p.own && uint32(i) != a.cur && holes > most {
			best, most = i, holes
		}
	}
	if best < 0 || most < len(a.pages[best].mem)/8 {
		return false
	}
	mem, used := a.pages[best].mem, a.pages[best].used
	for off := uint32(0); off < used; {
		owner, size := binary.LittleEndian.Uint32(mem[off:]), binary.LittleEndian.Uint32(mem[off+4:])
		if owner != noOwner {
			r, b := a.alloc(owner, int(size)-blockHeader)
			copy(b, mem[off+blockHeader:off+size])
			moved(owner, r)
			a.live -= int64(size)
		}
		off += size
	}
	a.drop(uint32(best))
	return true
}
