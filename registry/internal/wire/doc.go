// Package wire encodes and decodes the registry's frames of messages.
//
// A node sends a frame to another in one piece. Wrong bytes anywhere make [Decode] refuse the whole
// frame, with an error that names the byte, the field and the reason ([*SyntaxError],
// [*VersionError]). To read the code, open frame.go, then append.go and decode.go, which follow the
// format below.
//
// # Format, version 2
//
// Numbers of 8 and 2 bytes are big-endian. v is an unsigned varint of 1 to 10 bytes (seven bits in
// a byte, the lowest first), z a signed one in zigzag. n… is a length and as many bytes.
//
//	frame     bytes  limit
//	version   1      2; any other: VersionError
//	sender    1 n…   1 to 255 bytes: the name of the node
//	incarn.   8      of this run of the sender, up to 2^63-1
//	sent      8      the sender's wall clock, signed, ns since the Unix epoch
//	items     2      how many follow; nothing follows the last
//
//	item
//	partition v      below Limits.Partitions, at most 65536
//	kind      1      1 update, 2 summary, 3 vector, 4 pull, 5 chunk, 6 check, 7 standing
//
//	update (1)
//	origin    1 n…   1 to 255 bytes
//	incarn.   8      of the origin
//	after     v
//	range     v      UpTo minus After; the sum has 64 bits at most
//	records   v      how many follow
//
//	summary (2)
//	root      8
//
//	vector (3)
//	reply     1      0 or 1
//	entries   v      how many follow, sorted by origin, each origin once:
//	origin    1 n…     1 to 255 bytes
//	incarn.   8
//	seq       v
//	visible   1        0 or 1
//
//	pull (4)
//	origin    1 n…   1 to 255 bytes
//	incarn.   8
//	after     v
//	at least  v
//
//	chunk (5)
//	origin    1 n…   1 to 255 bytes
//	incarn.   8
//	after     v
//	range     v      UpTo minus After
//	as of     v      AsOf minus UpTo
//	floor     v
//	records   v      how many follow
//
//	check (6)
//	origin    1 n…   1 to 255 bytes
//	incarn.   8
//	after     v
//	at least  v
//	blocks    v      how many follow; each begins where the one before ends:
//	end       v        by how much it is beyond that, 1 or more
//	digest    8
//
//	standing (7)
//	origin    1 n…   1 to 255 bytes
//	incarn.   8
//	after     v
//	range     v      UpTo minus After
//	as of     v      AsOf minus UpTo
//	spans     v      how many follow:
//	start     v        by how much it is beyond the end of the one before
//	end       v        by how much it is beyond the start, 1 or more
//	numbers   v        how many follow, each as what it is more than the one before
//
//	record           its node is the message's origin
//	head      1      bits 0 to 3: gap 1, logical 2, metadata 4, and 8 is always 0
//	                 bits 4 to 7: why it is dead, 1 to 4; 0: it is alive
//	gap       v      if gap: how many sequence numbers were left out, minus 1
//	time      8      of the first record, signed, ns since the Unix epoch;
//	          z      of another: the difference to the time of the one before
//	logical   v      if logical: 1 to 2^32-1
//	name      v n…   1 to 65535 bytes
//	metadata  v n…   if metadata: 1 to 65535 bytes; never of a dead one
//	winner    1 n…   if it lost a conflict (3): 1 to 255 bytes
//	won       v        the winner's sequence number
//	lost      v        that of the claim which lost
//	when      8        the winner's time, signed, ns since the Unix epoch
//	logical   v        and its logical part, 0 to 2^32-1
//
// Sequence numbers start from the message's After, rise from record to record, and end at UpTo at
// the latest. Each message has one encoding only: a number that is not in its shortest form, an
// unknown flag and an empty field whose flag is set are refused. So a frame that is decoded and
// encoded again has the same bytes. Empty metadata and none are the same, and decode to nil.
//
// An item takes the same bytes in any frame. It could be smaller if its origin is the frame's
// sender; but most updates on the wire are relayed ones, whose origin is not.
//
// There is no checksum. A packet has memberlist's CRC, or the tag of its encryption; a stream has
// TCP's. Since the header has the number of items, and nothing may follow the last one, a truncated
// frame is never taken for a shorter one.
//
// # Sizes
//
// With a name of 16 bytes, that of the node of 6, and a sequence that stands at a million:
//
//	header of a frame                            26 bytes
//	update with one registration                 48
//	  with 16 bytes of metadata                  65
//	each further registration                    21
//	  with 16 bytes of metadata                  38
//	each further release                         21
//	each further claim lost in a conflict        43
//	summary                                      10
//	pull                                         21
//	vector of 16 nodes                          308
//	registrations in a packet of 1,400 bytes     64, with metadata 35
//
// [HeaderSize] and [Item.Size] are exact, so that packets can be filled by them.
//
// # Memory
//
// Before anything is allocated, each length is compared with the rest of the frame and with the
// limits, and each count with the number of the smallest elements that the rest could hold. Decode
// allocates at most some 40 bytes for one of the frame: 34 for records whose names have one byte,
// and 6 if the number of items is wrong.
//
// Decode copies each name and each metadata by itself and allocates each record by itself: three
// allocations a record, 1.0 ms for a chunk of 4,000 records (150 KB) where slices of one copy of
// the frame took 0.43 ms. In return, a registration that lives for a year doesn't keep the 4,000 in
// memory that came with it. In a join into a million names it is 0.15 s, a small part of the whole.
// Only the names of nodes are shared, by all frames.
//
// A name that occurs twice in one list is accepted: to refuse it would take a table of all names,
// and a partition that receives both keeps the later one, as it would from two messages.
package wire
