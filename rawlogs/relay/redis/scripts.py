"""What Redis does in one step: the scripts, and the keys they work on. Times are whole microseconds since 1970.

| key | type | holds |
| --- | --- | --- |
| ``logs`` | stream | one entry a log: field ``d``, the log as JSON |
| ``seen`` | sorted set | the ids (16 bytes) of the logs that were written, by when they may be forgotten |
| ``index`` | sorted set | the entries of the stream, by the timestamp of the log |
| ``cursor`` | hash | where the writing stands, see ``WRITE`` |
| ``lease`` | string | the token of the relay that writes now; expires |
"""

from __future__ import annotations

TAKE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] and not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return false
end
return redis.call('HMGET', KEYS[2], 'mark', 'low')
"""
"""Take the lease (lease, cursor; token, milliseconds): nil while another has it, else where the writing stands."""

GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
"""
"""Give the lease up (lease; token), if it is still the caller's."""

EVICTED = 1000
"""How many entries one write takes away at most: more than it can add."""

WRITE = f"""
local logs, seen, index, cursor, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, before, mark = ARGV[1], ARGV[2], ARGV[3]
local lease_ms, low, begin, trouble = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local max_age, max_length = tonumber(ARGV[8]), tonumber(ARGV[9])
local slack, hold = tonumber(ARGV[10]), tonumber(ARGV[11])

if redis.call('GET', lease) ~= token then
    return 'lost'
end
local last = redis.call('HGET', cursor, 'mark') or ''
if last ~= before and last ~= mark then
    return 'changed'
end

local function moment(id)
    return tonumber(string.match(id, '^%d+')) * 1000
end

local added, newest = 0, nil
for n = 12, #ARGV, 3 do
    if not redis.call('ZSCORE', seen, ARGV[n]) then
        local id = redis.call('XADD', logs, '*', 'd', ARGV[n + 2])
        local until_when = math.max(tonumber(ARGV[n + 1]), moment(id))
        redis.call('ZADD', seen, string.format('%.0f', until_when), ARGV[n])
        redis.call('ZADD', index, ARGV[n + 1], id)
        added, newest = added + 1, id
    end
end
redis.call('HSET', cursor, 'mark', mark, 'trouble', trouble)
if newest then
    redis.call('HSET', cursor, 'last', newest)
end
redis.call('HSETNX', cursor, 'covered', begin)
if low ~= '' then
    redis.call('HSET', cursor, 'low', low)
end
redis.call('PEXPIRE', lease, lease_ms)

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local excess = max_length > 0 and redis.call('XLEN', logs) - max_length or 0
local oldest = max_age > 0 and now - max_age or 0
local covered = tonumber(redis.call('HGET', cursor, 'covered'))
local evicted, bytes, trimmed = 0, 0, nil
while evicted < {EVICTED} and bytes < 8000000 do
    local some = redis.call('XRANGE', logs, trimmed and '(' .. trimmed or '-', '+', 'COUNT', 50)
    local took = 0
    for _, entry in ipairs(some) do
        if evicted >= excess and moment(entry[1]) >= oldest then
            break
        end
        trimmed, took, evicted, bytes = entry[1], took + 1, evicted + 1, bytes + #entry[2][2]
        local stamp = tonumber(redis.call('ZSCORE', index, trimmed) or 0)
        covered = math.max(covered, math.min(stamp, moment(trimmed) + slack) + 1)
        redis.call('ZREM', index, trimmed)
    end
    if took < 50 then
        break
    end
end
if trimmed then
    local ms, count = string.match(trimmed, '^(%d+)-(%d+)$')
    redis.call('XTRIM', logs, 'MINID', ms .. '-' .. string.format('%.0f', tonumber(count) + 1))
    redis.call('HSET', cursor, 'covered', string.format('%.0f', covered), 'trimmed', trimmed)
end

local reached = tonumber(redis.call('HGET', cursor, 'low') or begin)
local first = redis.call('XRANGE', logs, '-', '+', 'COUNT', 1)[1]
local edge = math.min(reached - slack, now - hold, first and moment(first[1]) or now)
local old = redis.call('ZCOUNT', seen, '-inf', '(' .. string.format('%.0f', edge))
if old > 0 then
    redis.call('ZREMRANGEBYRANK', seen, 0, math.min(old, 2 * {EVICTED}) - 1)
end
return added
"""
"""Write logs, and where the writing stands then; nothing of it, or all.

Keys as above. Arguments: token; the mark that the last write left; the mark that this one leaves; milliseconds of the
lease; the low-water mark, or nothing; from when on the stream has every log, if this is its first write; what the relay
is troubled by; the longest age (0: any) and the largest length (0: any); how far the low-water mark may go back; how
long ids are kept at least; then for each log its id, its timestamp, itself. Returns how many were new; ``lost`` where
the lease is another's or nobody's, ``changed`` where the last write was not the caller's. A write whose answer was lost
may be sent again.

An id is kept while its entry is in the stream, while a takeover may list its log again (timestamp at or after the
low-water mark), and for ``hold``. ``covered`` says from when on, by timestamp, nothing has been trimmed.
"""

ENTRIES = """
local found = {}
for _, id in ipairs(ARGV) do
    for _, entry in ipairs(redis.call('XRANGE', KEYS[1], id, id)) do
        table.insert(found, entry)
    end
end
return found
"""
"""The entries (logs; their ids) that are still there."""

TIME = "return redis.call('TIME')"
"""The clock of the server that has the key: entries have their ids by it. (TIME itself may go to any node.)"""
