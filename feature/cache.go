package feature

// blockCache keeps what a cut's reader has read: rows of an export ask for the same entities again and
// again. It holds two generations; when the young one is full it becomes the old one. A nil cache keeps
// nothing. What it hands out is valid for good.
type blockCache struct {
	young, old map[string]*cachedBlock
	size       int // of the young generation, bytes
}

// cachedBlock is a decoded block: rows of a leaf, a node, or both of a head.
type cachedBlock struct {
	bytes []byte
	node  *node
}

// cacheBytes bounds one generation.
const cacheBytes = 16 << 20

func newBlockCache() *blockCache {
	return &blockCache{young: map[string]*cachedBlock{}, old: map[string]*cachedBlock{}}
}

func (c *blockCache) get(key []byte) *cachedBlock {
	if c == nil {
		return nil
	}
	if x := c.young[string(key)]; x != nil {
		return x
	}
	x := c.old[string(key)]
	if x != nil {
		delete(c.old, string(key))
		c.add(key, x, len(x.bytes)+100)
	}
	return x
}

func (c *blockCache) put(key []byte, x cachedBlock, size int) {
	if c != nil {
		c.add(key, &x, size+100)
	}
}

func (c *blockCache) add(key []byte, x *cachedBlock, size int) {
	if c.size+size > cacheBytes {
		c.young, c.old = map[string]*cachedBlock{}, c.young
		c.size = 0
	}
	c.young[string(key)] = x
	c.size += size
}
