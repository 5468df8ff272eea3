-- A queue's jobs on Redis Streams; every call is one atomic step.
-- KEYS[1]: the prefix of the queue's keys, with a hash tag: all are in one slot of a cluster.
-- ARGV[1]: the operation. Times and levels travel as text, so that no digit is lost.
--
--   job:<id>           hash of one job; `entry` is the id of its entry in its stream
--   stream:<priority>  jobs that wait or run, in order of submission. Those started at least once
--                      are pending in the group: with consumer `running`, where the idle time
--                      counts from the last sign of life, or with `waiting`, to be started again
--   later, ready       jobs with consumer `waiting`, by time of retry; when due, by priority key
--   deadlines          waiting jobs by deadline
--   dead, done, expired  jobs by end
--   bucket, latest     levels of the rates; times of the jobs done last

local P = KEYS[1]
local GROUP, RUNNING, WAITING = 'workers', 'running', 'waiting'
local PRIORITIES = { 'high', 'medium', 'low' }
local LATEST = 1000

local function job_key(id) return P .. 'job:' .. id end
local function stream(priority) return P .. 'stream:' .. priority end

for _, priority in ipairs(PRIORITIES) do
  if redis.call('EXISTS', stream(priority)) == 0 then
    redis.call('XGROUP', 'CREATE', stream(priority), GROUP, '0', 'MKSTREAM')
  end
end

-- Fields of a job; none if others deleted or replaced its hash. Such a job is dropped where it is
-- found, and costs no other.
local function get(id, ...)
  local found = redis.pcall('HMGET', job_key(id), ...)
  if not found.err then return unpack(found) end
end

local function read(id)
  return get(id, 'state') and redis.call('HGETALL', job_key(id)) or {}
end

local function remove(id, ...)
  for _, name in ipairs({ ... }) do redis.call('ZREM', P .. name, id) end
end

local function delete(id)
  remove(id, 'later', 'ready', 'deadlines', 'dead', 'done', 'expired')
  redis.call('DEL', job_key(id))
end

local function wait(id)
  redis.call('HSET', job_key(id), 'state', 'waiting')
  local deadline = get(id, 'expires_at')
  if deadline and deadline ~= 'inf' then redis.call('ZADD', P .. 'deadlines', deadline, id) end
end

local function enter(id)
  local entry = redis.call('XADD', stream(get(id, 'priority')), '*', 'id', id)
  redis.call('HSET', job_key(id), 'entry', entry)
  wait(id)
end

local function make_ready(id)
  remove(id, 'later')
  redis.call('ZADD', P .. 'ready', tonumber((get(id, 'priority_key'))) or 0, id)
end

-- Lets a job that was started wait; its entry keeps its place in the stream.
local function wait_again(id, not_before)
  local priority, entry = get(id, 'priority', 'entry')
  redis.call('XCLAIM', stream(priority), GROUP, WAITING, 0, entry, 'JUSTID')
  redis.call('HDEL', job_key(id), 'worker')
  redis.call('HSET', job_key(id), 'not_before', not_before)
  if tonumber(not_before) > 0 then
    redis.call('ZADD', P .. 'later', not_before, id)
  else
    make_ready(id)
  end
  wait(id)
end

local function drop(name, entry)
  redis.call('XACK', name, GROUP, entry)
  redis.call('XDEL', name, entry)
end

local function finish(id, state, now)
  local priority, entry = get(id, 'priority', 'entry')
  drop(stream(priority), entry)
  redis.call('HDEL', job_key(id), 'worker')
  redis.call('HSET', job_key(id), 'state', state, 'finished_at', now)
  if state ~= 'dead' then redis.call('HSET', job_key(id), 'payload', 'null') end
  redis.call('ZADD', P .. state, now, id)
end

-- Jobs of a set up to a score, if they are in this state; others are removed from the set.
local function due(name, score, wanted)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', P .. name, '-inf', score, 'BYSCORE')) do
    if get(id, 'state') == wanted then found[#found + 1] = id else remove(id, name) end
  end
  return found
end

local function expire(now)
  for _, id in ipairs(due('deadlines', now, 'waiting')) do
    remove(id, 'deadlines')
    finish(id, 'expired', now)
  end
end

-- Jobs that were not renewed for a lease wait again, or die after the last attempt.
local function take_over(name, lease_ms, max_attempts, now)
  local idle = redis.call('XPENDING', name, GROUP, 'IDLE', lease_ms, '-', '+', 100, RUNNING)
  for _, pending in ipairs(idle) do
    local found = redis.call('XRANGE', name, pending[1], pending[1])[1]
    local id = found and found[2][2] or ''
    local state, entry, attempts = get(id, 'state', 'entry', 'attempts')
    if state ~= 'running' or entry ~= pending[1] then
      drop(name, pending[1])
    elseif tonumber(attempts) < tonumber(max_attempts) then
      wait_again(id, '0')
    else
      redis.call('HSET', job_key(id), 'error_kind', 'WorkerLost',
        'error', 'its worker died at every attempt')
      finish(id, 'dead', now)
    end
  end
end

-- The first job of a stream that was never started, and the last entry that was.
local function head(name)
  local last
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', name)) do
    if group[2] == GROUP then last = group[8] end
  end
  while true do
    local first = redis.call('XRANGE', name, '(' .. last, '+', 'COUNT', 1)[1]
    if not first then return nil, last end
    local id = first[2][2]
    local state, entry, order, since = get(id, 'state', 'entry', 'priority_key', 'submitted_at')
    if state == 'waiting' and entry == first[1] then
      return { id = id, name = name, order = tonumber(order) or 0, since = tonumber(since) }, last
    end
    redis.call('XDEL', name, first[1])
  end
end

-- The first job that waits to be started again.
local function first_ready()
  while true do
    local id, order = unpack(redis.call('ZRANGE', P .. 'ready', 0, 0, 'WITHSCORES'))
    if not id then return nil end
    if get(id, 'state') == 'waiting' then return { id = id, order = tonumber(order) } end
    remove(id, 'ready')
  end
end

local function start(job, worker, now)
  local id = job.id
  if job.name then
    redis.call('XREADGROUP', 'GROUP', GROUP, RUNNING, 'COUNT', 1, 'STREAMS', job.name, '>')
  else
    local priority, entry = get(id, 'priority', 'entry')
    redis.call('XCLAIM', stream(priority), GROUP, RUNNING, 0, entry, 'JUSTID')
    remove(id, 'ready')
  end
  remove(id, 'deadlines')
  redis.call('HSET', job_key(id), 'state', 'running', 'worker', worker, 'started_at', now,
    'attempts', (tonumber((get(id, 'attempts'))) or 0) + 1)
  return read(id)
end

-- See rules.py, which this follows line by line.
local function short_of(needed, level, rate)
  if level >= needed - 1e-3 then return 0 end
  return (needed - level) / rate
end

local function admit(id, now, request_burst, request_rate, token_burst, token_rate)
  if request_burst == 0 and token_burst == 0 then return 0 end
  local tokens = tonumber(get(id, 'tokens') or 0) or 0
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
  redis.call('HSET', P .. 'bucket', 'requests', requests, 'tokens', left, 'at', now)
  return pause
end

local operations = {}

-- then for each job: id, digest, and its hash as one flat list of ARGV[2] entries; returns an id
-- that was used for another payload (then nothing is stored), and the jobs known before
function operations.add()
  local width = tonumber(ARGV[2]) + 2
  for position = 3, #ARGV, width do
    local state, digest = get(ARGV[position], 'state', 'digest')
    if state and digest ~= ARGV[position + 1] then return { ARGV[position], {} } end
  end
  local known = {}
  for position = 3, #ARGV, width do
    local id = ARGV[position]
    known[#known + 1] = read(id)
    if #known[#known] == 0 then
      delete(id)
      redis.call('HSET', job_key(id), unpack(ARGV, position + 2, position + width - 1))
      enter(id)
    end
  end
  return { '', known }
end

-- now, then ids
function operations.get()
  expire(ARGV[2])
  local found = {}
  for position = 3, #ARGV do found[#found + 1] = read(ARGV[position]) end
  return found
end

-- now, worker, slots, lease in ms, max_attempts, the two buckets' burst and rate; returns the jobs
-- started, until when the rates hold the next, when a retry is due, the last entries started
function operations.claim()
  local now, worker, slots, lease_ms, max_attempts = unpack(ARGV, 2, 6)
  expire(now)
  for _, id in ipairs(due('later', now, 'waiting')) do make_ready(id) end
  local heads, seen, started, pause = {}, {}, {}, 0
  for rank, priority in ipairs(PRIORITIES) do
    take_over(stream(priority), lease_ms, max_attempts, now)
    heads[rank], seen[rank] = head(stream(priority))
  end
  for _ = 1, tonumber(slots) do
    local first, from = first_ready(), nil
    for rank = 1, #PRIORITIES do
      local job = heads[rank]
      if job and not (first and first.order <= job.order) then first, from = job, rank end
    end
    if not first then break end
    pause = admit(first.id, tonumber(now), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]),
      tonumber(ARGV[10]))
    if pause > 0 then break end
    started[#started + 1] = start(first, worker, now)
    if from then heads[from], seen[from] = head(first.name) end
  end
  local next_retry = redis.call('ZRANGE', P .. 'later', 0, 0, 'WITHSCORES')[2] or ''
  local held = pause > 0 and string.format('%.17g', tonumber(now) + pause) or ''
  return { started, held, next_retry, seen }
end

-- worker, then id and attempts of each job it does
function operations.renew()
  for position = 3, #ARGV, 2 do
    local worker, attempts, priority, entry =
      get(ARGV[position], 'worker', 'attempts', 'priority', 'entry')
    if worker == ARGV[2] and attempts == ARGV[position + 1] then
      redis.call('XCLAIM', stream(priority), GROUP, RUNNING, 0, entry, 'JUSTID')
    end
  end
end

-- for each job: id, attempts, started_at, worker, now, state, not_before, result, error_kind, error;
-- returns for each whether it was still this worker's
function operations.acknowledge()
  local kept = {}
  for position = 2, #ARGV, 10 do
    local id, attempts, started_at, worker, now, state, not_before, result, error_kind, error =
      unpack(ARGV, position, position + 9)
    local holder, current, since = get(id, 'worker', 'attempts', 'started_at')
    local own = holder == worker and current == attempts and since == started_at
    kept[#kept + 1] = own and 1 or 0
    if own then redis.call('HDEL', job_key(id), 'error_kind', 'error') end
    if own and error_kind ~= '' then
      redis.call('HSET', job_key(id), 'error_kind', error_kind, 'error', error)
    end
    if own and state == 'done' then
      redis.call('HSET', job_key(id), 'result', result)
      redis.call('LPUSH', P .. 'latest', table.concat({ get(id, 'submitted_at'), since, now }, ' '))
      redis.call('LTRIM', P .. 'latest', 0, LATEST - 1)
    end
    if own and state == 'waiting' then wait_again(id, not_before) end
    if own and state ~= 'waiting' then finish(id, state, now) end
  end
  return kept
end

-- limit
function operations.dead()
  local letters = {}
  for _, id in ipairs(redis.call('ZRANGE', P .. 'dead', 0, ARGV[2] - 1, 'REV')) do
    if get(id, 'state') == 'dead' then letters[#letters + 1] = read(id) else remove(id, 'dead') end
  end
  return letters
end

-- now, priority key by priority (high, medium, low), then ids
function operations.replay()
  local now, replayed = ARGV[2], 0
  local priority_keys = { high = ARGV[3], medium = ARGV[4], low = ARGV[5] }
  for position = 6, #ARGV do
    local id = ARGV[position]
    local state, priority = get(id, 'state', 'priority')
    if state == 'dead' and priority_keys[priority] then
      remove(id, 'dead')
      redis.call('HDEL', job_key(id), 'error', 'error_kind', 'expires_at', 'finished_at')
      redis.call('HSET', job_key(id), 'attempts', '0', 'not_before', '0', 'submitted_at', now,
        'priority_key', priority_keys[priority])
      enter(id)
      replayed = replayed + 1
    end
  end
  return replayed
end

-- ids
function operations.purge()
  local purged = 0
  for position = 2, #ARGV do
    if get(ARGV[position], 'state') == 'dead' then
      delete(ARGV[position])
      purged = purged + 1
    end
  end
  return purged
end

-- before
function operations.forget()
  local forgotten = 0
  for _, state in ipairs({ 'done', 'expired' }) do
    local old = due(state, '(' .. ARGV[2], state)
    for _, id in ipairs(old) do delete(id) end
    forgotten = forgotten + #old
  end
  return forgotten
end

-- now; returns the counts, when the oldest waiting job was submitted, the latest jobs' times
function operations.stats()
  expire(ARGV[2])
  local counts, oldest, all_running = {}, math.huge, 0
  for _, priority in ipairs(PRIORITIES) do
    local name, running = stream(priority), 0
    for _, consumer in ipairs(redis.call('XPENDING', name, GROUP)[4] or {}) do
      if consumer[1] == RUNNING then running = tonumber(consumer[2]) end
    end
    local never, again = head(name), redis.call('XPENDING', name, GROUP, '-', '+', 1, WAITING)[1]
    local entry = again and redis.call('XRANGE', name, again[1], again[1])[1]
    local since = entry and get(entry[2][2], 'submitted_at')
    oldest = math.min(oldest, never and never.since or oldest, tonumber(since or oldest))
    counts[#counts + 1] = 'waiting:' .. priority
    counts[#counts + 1] = redis.call('XLEN', name) - running
    all_running = all_running + running
  end
  for _, state in ipairs({ 'dead', 'done', 'expired' }) do
    counts[#counts + 1] = state
    counts[#counts + 1] = redis.call('ZCARD', P .. state)
  end
  return { all_running, counts, oldest < math.huge and string.format('%.17g', oldest) or '',
    redis.call('LRANGE', P .. 'latest', 0, -1) }
end

return operations[ARGV[1]]()
