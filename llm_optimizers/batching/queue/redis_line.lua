-- The line of waiting jobs on Redis; every call is one atomic step.
-- KEYS[1]: the queue's prefix. ARGV[1]: the operation; times and levels travel as text, so that
-- no digit is lost.
--   job:<id>  hash of one job          tickets  hash ticket -> id of what it has started
--   line      id by turn, may start    later    id by the time of its retry
--   ages      waiting id by submission expiring waiting id by its deadline
--   dead, settled  id by its end       counts, bucket, latest

local P = KEYS[1]
local LATEST = 1000

local function key(id) return P .. 'job:' .. id end

-- A job's hash may have been deleted or replaced by others: that job is let go, and no other.
local damaged = false

local function whole(id)
  return redis.call('TYPE', key(id)).ok == 'hash' and redis.call('HEXISTS', key(id), 'state') == 1
end

local function discard(id)
  for _, name in ipairs({ 'line', 'later', 'ages', 'expiring', 'dead', 'settled' }) do
    redis.call('ZREM', P .. name, id)
  end
  redis.call('DEL', key(id))
  damaged = true
end

-- Counts again what the counters say, for nobody knows what a lost job was counted as.
local function recount()
  local counts = {
    running = redis.call('HLEN', P .. 'tickets'),
    dead = redis.call('ZCARD', P .. 'dead'),
  }
  local function add(name) counts[name] = (counts[name] or 0) + 1 end
  for _, id in ipairs(redis.call('ZRANGE', P .. 'ages', 0, -1)) do
    if whole(id) then add('waiting:' .. redis.call('HGET', key(id), 'priority')) end
  end
  for _, id in ipairs(redis.call('ZRANGE', P .. 'settled', 0, -1)) do
    if whole(id) then add(redis.call('HGET', key(id), 'state')) end
  end
  redis.call('DEL', P .. 'counts')
  for name, count in pairs(counts) do redis.call('HSET', P .. 'counts', name, count) end
end

local function read(id)
  if not whole(id) then return {} end
  return redis.call('HGETALL', key(id))
end

local function counter(state, priority)
  if state == 'waiting' then return 'waiting:' .. priority end
  return state
end

local function move(id, to)
  local state, priority = unpack(redis.call('HMGET', key(id), 'state', 'priority'))
  if state == 'running' then
    local ticket = redis.call('HGET', key(id), 'ticket')
    if ticket then redis.call('HDEL', P .. 'tickets', ticket) end
    redis.call('HDEL', key(id), 'ticket')
  elseif state == 'waiting' then
    redis.call('ZREM', P .. 'line', id)
    redis.call('ZREM', P .. 'later', id)
    redis.call('ZREM', P .. 'ages', id)
    redis.call('ZREM', P .. 'expiring', id)
  elseif state then
    redis.call('ZREM', P .. 'dead', id)
    redis.call('ZREM', P .. 'settled', id)
  end
  if state then redis.call('HINCRBY', P .. 'counts', counter(state, priority), -1) end
  if to then
    redis.call('HINCRBY', P .. 'counts', counter(to, priority), 1)
    redis.call('HSET', key(id), 'state', to)
  else
    redis.call('DEL', key(id))
  end
end

local function enter(id, not_before)
  move(id, 'waiting')
  local turn, submitted, expires =
    unpack(redis.call('HMGET', key(id), 'turn', 'submitted_at', 'expires_at'))
  redis.call('HSET', key(id), 'not_before', not_before)
  if tonumber(not_before) > 0 then
    redis.call('ZADD', P .. 'later', not_before, id)
  else
    redis.call('ZADD', P .. 'line', turn, id)
  end
  redis.call('ZADD', P .. 'ages', submitted, id)
  if expires then redis.call('ZADD', P .. 'expiring', expires, id) end
end

local function wait(id, not_before)
  if not whole(id) then return discard(id) end
  enter(id, not_before)
end

local function finish(id, state, now)
  if not whole(id) then return discard(id) end
  move(id, state)
  redis.call('HSET', key(id), 'finished_at', now)
  if state == 'dead' then
    redis.call('ZADD', P .. 'dead', now, id)
  else
    redis.call('ZADD', P .. 'settled', now, id)
    redis.call('HSET', key(id), 'payload', 'null')
  end
end

local function expire(now)
  for _, id in ipairs(redis.call('ZRANGE', P .. 'expiring', '-inf', now, 'BYSCORE')) do
    finish(id, 'expired', now)
  end
end

local function start(id, ticket, now)
  move(id, 'running')
  redis.call('HSET', key(id), 'ticket', ticket, 'started_at', now)
  redis.call('HINCRBY', key(id), 'attempts', 1)
  redis.call('HSET', P .. 'tickets', ticket, id)
  return read(id)
end

-- See rules.py, which this follows line by line.
local function short_of(needed, level, rate)
  if level >= needed - 1e-3 then return 0 end
  return (needed - level) / rate
end

local function admit(id, now, request_burst, request_rate, token_burst, token_rate)
  local tokens = tonumber(redis.call('HGET', key(id), 'tokens') or 0) or 0
  local requests, left, at = unpack(redis.call('HMGET', P .. 'bucket', 'requests', 'tokens', 'at'))
  local passed = math.max(0, now - (tonumber(at or now)))
  requests = math.min(request_burst, tonumber(requests or request_burst) + passed * request_rate)
  left = math.min(token_burst, tonumber(left or token_burst) + passed * token_rate)
  local pause = 0
  if request_burst > 0 then pause = math.max(pause, short_of(1, requests, request_rate)) end
  if token_burst > 0 then
    pause = math.max(pause, short_of(math.min(tokens, token_burst), left, token_rate))
  end
  if pause == 0 then
    requests, left = requests - 1, left - tokens
  end
  redis.call('HSET', P .. 'bucket', 'requests', string.format('%.17g', requests),
    'tokens', string.format('%.17g', left), 'at', string.format('%.17g', now))
  return pause
end

local operations = {}

-- then for each job: id, and the fields of its hash as one flat list of ARGV[2] entries; returns
-- an id that was used for another payload (then nothing is stored), and the jobs as they are
function operations.add()
  local width = tonumber(ARGV[2])
  local kept = {}
  for position = 3, #ARGV, width + 1 do
    local id = ARGV[position]
    local digest = whole(id) and redis.call('HGET', key(id), 'digest')
    for field = position + 1, position + width, 2 do
      if ARGV[field] == 'digest' and digest and digest ~= ARGV[field + 1] then
        return { id, {} }
      end
    end
  end
  for position = 3, #ARGV, width + 1 do
    local id = ARGV[position]
    if not whole(id) then
      if redis.call('EXISTS', key(id)) == 1 then discard(id) end
      redis.call('HSET', key(id), unpack(ARGV, position + 1, position + width))
      enter(id, '0')
    end
    kept[#kept + 1] = read(id)
  end
  return { '', kept }
end

-- now, then ids
function operations.get()
  expire(ARGV[2])
  local found = {}
  for position = 3, #ARGV do found[#found + 1] = read(ARGV[position]) end
  return found
end

-- now, max_attempts, the two buckets' burst and rate, then tickets
function operations.claim()
  local now = ARGV[2]
  expire(now)
  for _, id in ipairs(redis.call('ZRANGE', P .. 'later', '-inf', now, 'BYSCORE')) do
    wait(id, '0')
  end
  local started, pause = {}, 0
  for position = 8, #ARGV do
    local ticket = ARGV[position]
    local own = redis.call('HGET', P .. 'tickets', ticket)
    if own and not whole(own) then
      redis.call('HDEL', P .. 'tickets', ticket)
      discard(own)
      own = nil
    end
    if own and tonumber(redis.call('HGET', key(own), 'attempts')) >= tonumber(ARGV[3]) then
      redis.call('HSET', key(own), 'error_kind', 'WorkerLost',
        'error', 'its worker died at every attempt')
      finish(own, 'dead', now)
      own = nil
    end
    local id = own or redis.call('ZRANGE', P .. 'line', 0, 0)[1]
    while id and not whole(id) do
      discard(id)
      id = redis.call('ZRANGE', P .. 'line', 0, 0)[1]
    end
    if not id then break end
    pause = admit(id, tonumber(now), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]),
      tonumber(ARGV[7]))
    if pause > 0 then break end
    started[#started + 1] = start(id, ticket, now)
  end
  local next_retry = redis.call('ZRANGE', P .. 'later', 0, 0, 'WITHSCORES')[2] or ''
  return { started, pause > 0 and string.format('%.17g', tonumber(now) + pause) or '', next_retry }
end

-- id, ticket, attempts, state, not_before, now, then fields to set
function operations.settle()
  local id, state, now = ARGV[2], ARGV[5], ARGV[7]
  if not whole(id) then return 0 end
  local ticket, attempts = unpack(redis.call('HMGET', key(id), 'ticket', 'attempts'))
  if ticket ~= ARGV[3] or attempts ~= ARGV[4] then return 0 end
  if #ARGV > 7 then redis.call('HSET', key(id), unpack(ARGV, 8)) end
  if state == 'waiting' then
    wait(id, ARGV[6])
    return 1
  end
  finish(id, state, now)
  if state == 'done' then
    local times = redis.call('HMGET', key(id), 'submitted_at', 'started_at', 'finished_at')
    redis.call('LPUSH', P .. 'latest', table.concat(times, ' '))
    redis.call('LTRIM', P .. 'latest', 0, LATEST - 1)
  end
  return 1
end

-- limit
function operations.dead()
  local letters = {}
  for _, id in ipairs(redis.call('ZRANGE', P .. 'dead', 0, ARGV[2] - 1, 'REV')) do
    letters[#letters + 1] = read(id)
  end
  return letters
end

-- now, ageing by priority (high, medium, low), then ids
function operations.replay()
  local now, extra = ARGV[2], { high = ARGV[3], medium = ARGV[4], low = ARGV[5] }
  local replayed = 0
  for position = 6, #ARGV do
    local id = ARGV[position]
    local state, priority
    if whole(id) then
      state, priority = unpack(redis.call('HMGET', key(id), 'state', 'priority'))
    end
    if state == 'dead' then
      redis.call('HDEL', key(id), 'error', 'error_kind', 'expires_at', 'finished_at')
      redis.call('HSET', key(id), 'attempts', '0', 'submitted_at', now, 'turn', extra[priority])
      wait(id, '0')
      replayed = replayed + 1
    end
  end
  return replayed
end

-- ids
function operations.purge()
  local purged = 0
  for position = 2, #ARGV do
    local id = ARGV[position]
    if whole(id) and redis.call('HGET', key(id), 'state') == 'dead' then
      move(id, nil)
      purged = purged + 1
    end
  end
  return purged
end

-- before
function operations.forget()
  local old = redis.call('ZRANGE', P .. 'settled', '-inf', '(' .. ARGV[2], 'BYSCORE')
  for _, id in ipairs(old) do
    if whole(id) then move(id, nil) else discard(id) end
  end
  return #old
end

-- now
function operations.stats()
  expire(ARGV[2])
  return {
    redis.call('HGETALL', P .. 'counts'),
    redis.call('ZRANGE', P .. 'ages', 0, 0, 'WITHSCORES')[2] or '',
    redis.call('LRANGE', P .. 'latest', 0, -1),
  }
end

-- Lets what runs wait again; only for when no ticket is left that could be delivered again.
function operations.orphans()
  local orphans = redis.call('HGETALL', P .. 'tickets')
  for position = 1, #orphans, 2 do
    -- A whole job leaves its ticket by itself.
    if not whole(orphans[position + 1]) then
      redis.call('HDEL', P .. 'tickets', orphans[position])
    end
    wait(orphans[position + 1], '0')
  end
  return redis.call('ZCARD', P .. 'ages')
end

local reply = operations[ARGV[1]]()
if damaged then recount() end
return reply
