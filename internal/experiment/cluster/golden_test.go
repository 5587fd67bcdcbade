package cluster

// golden is the table of the sample, with some errors by ring.
const golden = `3 processes, 200 keys (zipf 1.1), 500 fetches/s on each for 10 s, TTL 2 s. From 3 s to 6 s node-2 is cut off from the others.
measure                                            by key           by ring        no cluster
────────────────────────────────────────────────────────────────────────────────────────────────
origin loads against the ideal ↓                    x1.04             x1.30             x2.90
origin loads against no cluster ↓                    36 %              45 %             100 %
origin loads, all / ideal ↓                 1,040 / 1,000     1,300 / 1,000     2,900 / 1,000
origin loads per key ↓                                5.2               6.5              14.5
loaded once / twice / more within a TTL     960 / 20 / 10     960 / 20 / 10     960 / 20 / 10
loads/s before / during / after            100 / 133 / 85   100 / 133 / 150   100 / 133 / 550
latency before: p50 / p99 ↓               200 µs / 5.0 ms   200 µs / 5.0 ms   200 µs / 5.0 ms
latency before: p99.9 / max ↓              7.5 ms / 10 ms    7.5 ms / 10 ms    7.5 ms / 10 ms
latency during: p50 / p99 ↓               200 µs / 900 ms   200 µs / 900 ms   200 µs / 900 ms
latency during: p99.9 / max ↓               1.4 s / 1.8 s     1.4 s / 1.8 s     1.4 s / 1.8 s
latency after: p50 / p99 ↓                200 µs / 6.0 ms   200 µs / 6.0 ms   200 µs / 6.0 ms
latency after: p99.9 / max ↓               9.0 ms / 12 ms    9.0 ms / 12 ms    9.0 ms / 12 ms
fetches begun                                      15,000            15,000            15,000
errors before / during / after ↓                0 / 0 / 0        0 / 12 / 1         0 / 0 / 0
lost while a node did not run                           0                 0                 0
local hits / asked a node                  12,000 / 1,900    12,000 / 1,900        12,100 / 0
loads by owners / without the owner            1,000 / 40        1,260 / 40         2,900 / 0
asks that failed ↓                                     41                41                 0
names claimed / lost to another node              60 / 12           60 / 12             0 / 0
time to heal ↓                                      1.5 s             1.5 s                 –
loads without a reason ↓                                0                 0                 0
wrong values ↓                                          0                 0                 0
stale values ↓                                          0                 0                 0
late fetches ↓                                          0                 0                 0
Loads by key: 990 of new keys, 50 after the TTL.
Loads by ring: 1,250 of new keys, 50 after the TTL.
Loads without a cluster: 2,850 of new keys, 50 after the TTL.
Errors by ring: 9 overloaded, 4 past the deadline.
`
