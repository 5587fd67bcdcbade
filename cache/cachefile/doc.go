// Package cachefile saves a cache to a file, and loads it when the next process starts, so that a
// deploy or a crash does not begin with an empty cache.
//
//	loaded, err := cachefile.Load(ctx, users, "/var/cache/app/users", o)
//	if err != nil && !errors.Is(err, fs.ErrNotExist) { // at the first start there is none
//		log.Print(err) // the cache works; it is colder
//	}
//	...
//	err = cachefile.Keep(ctx, users, "/var/cache/app/users", 10*time.Minute, o)
//
// [Keep] saves now and then, and once more when ctx ends. [Save] saves once. For a *cache.Loading
// use its field Cache. Nobody but the cache is asked for a value: neither calls a fetch function.
//
// # What is saved
//
// Of each entry, fresh or stale: the key, the value, the rest of its TTL, its age, and how often
// it was asked for of late. Options.Tags of the cache makes the tags anew. Missing records that are
// remembered, failures and back-off are not saved.
//
// The file begins with the hottest entries: those that the policy would evict last. So if it is
// larger than Options.MaxBytes, or than what the next cache has room for, the best part is kept.
// A cache of a tenth of the capacity has about as many hits after a Load as if it had been warm
// all the time. [Load] evicts nothing to make room.
//
// # Time
//
// A file has the wall clock's time of its save. The time between Save and Load counts towards the
// TTL, StaleFor and the age. If the wall clock has gone back, so that the file seems to come from
// the future, no time is taken to have passed: an entry has the rest of its TTL as of the save. So
// a clock that is wrong by d makes values up to d too old, once. If the clock is far ahead, entries
// are stale or gone.
//
// An entry keeps the TTL that it was stored with. But if Options.TTL of the cache is shorter than
// in the process before, no entry lives longer than that from now on.
//
// # What is newer wins
//
// Load replaces nothing. What was stored, deleted or invalidated in this process while Load runs
// counts, and so does the result of a load that is under way. Load knows nothing of deletes before
// it began, nor of those after the save in the process before: a value that was deleted after the
// last save is back after a restart, until its TTL ends. Where that matters, save after the delete,
// or remove the file, or don't save that cache. If several processes share an origin, the file does
// not know what the others have changed either: its values are as old as their TTL allows.
//
// # The file
//
// Save writes a new file in the same folder, waits until it is on the disk, and renames it. So a
// reader finds the older file or the new one, whatever happens to the process, to the machine or
// to another Save. What a killed Save has left is removed by the next one. The folder must be
// writable, and path must not be a mount of its own, nor a link, which would be replaced. Several
// replicas need a path each. The file is readable by its owner alone: it has what the cache has,
// unencrypted.
//
// Blocks of about 64 KiB have checksums. If the file is damaged, what is before the damage is
// loaded, which is the hottest part, and Load returns a *[DamageError] with the offset. A file of
// other types, codecs, Options.Version or format is refused with a *[MismatchError]. No entry is
// loaded from a block that is not whole. The checksums find accidents. They are no signature: who
// can write the file can put values in the cache, so the codecs must check what they get.
//
// Save needs some 100 bytes of memory for each entry while it runs, and Load none beyond the
// cache's own and a list of the entries. An entry that is longer than 63 MiB is not saved.
//
// # Reading the source
//
// Open format.go first: it has the layout of a file. save.go writes it, load.go reads it, and
// replace.go puts it in its place. The order of the entries, and what is newer, are decided in
// cache/snapshot.go.
package cachefile
