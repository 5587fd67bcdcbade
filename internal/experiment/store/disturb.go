package store

import (
	"context"

	"github.com/snowfence/snowfence/internal/valkeytest"
)

// A disturbance is what is done to the server.
type disturbance string

const (
	none    disturbance = "none"
	kill    disturbance = "kill"
	pause   disturbance = "pause"
	empty   disturbance = "empty"
	garbage disturbance = "garbage"
)

const disturbances = `none     nothing
kill     the server is killed at --start, and started again, empty, at --end
pause    it hangs from --start (SIGSTOP) to --end
empty    all of its keys are removed at --start (FLUSHALL)
garbage  half of its values are replaced by others at --start, the rest damaged
`

// title says in a few words what is done.
func (d disturbance) title() string {
	return map[disturbance]string{
		none: "nothing", kill: "killed, then empty", pause: "hangs", empty: "emptied",
		garbage: "filled with garbage",
	}[d]
}

// spoil replaces one half of the values by others of another format, and damages the other half at
// their end, where only a checksum can find it.
const spoil = `local keys = redis.call('KEYS', '*')
for i, key in ipairs(keys) do
  local size = redis.call('TYPE', key).ok == 'string' and redis.call('STRLEN', key) or 0
  if i % 2 == 0 or size < 64 then
    redis.call('SET', key, 'this is no record')
  else
    redis.call('SETRANGE', key, size - 8, 'damaged!')
  end
end
return #keys`

// begin does what is done at the start of the window.
func (d disturbance) begin(ctx context.Context, server *valkeytest.Server) error {
	switch d {
	case kill:
		server.Kill()
	case pause:
		return server.Pause()
	case empty:
		_, err := server.Do(ctx, "FLUSHALL")
		return err
	case garbage:
		_, err := server.Do(ctx, "EVAL", spoil, "0")
		return err
	}
	return nil
}

// end does what is done at its end.
func (d disturbance) end(ctx context.Context, server *valkeytest.Server) error {
	switch d {
	case kill:
		return server.Restart(ctx)
	case pause:
		return server.Resume()
	}
	return nil
}
