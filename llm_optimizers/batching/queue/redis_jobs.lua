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
--   made, lost         whether the streams were made, and whether one was lost since
--
-- Any of these may have been deleted or changed by others, also by a server short of memory. What is
-- damaged becomes a dead letter with the reason where it is found, and costs no other job. Redis
-- keeps what a script did before an error, so everything is checked before it is changed.

local P = KEYS[1]
local GROUP, RUNNING, WAITING = 'workers', 'running', 'waiting'
local PRIORITIES = { 'high', 'medium', 'low' }
local STATES = { 'waiting', 'running', 'done', 'dead', 'expired' }
local LATEST = 1000
local KINDS = { later = 'zset', ready = 'zset', deadlines = 'zset', dead = 'zset', done = 'zset',
  expired = 'zset', bucket = 'hash', latest = 'list' }

local function job_key(id) return P .. 'job:' .. id end
local function stream(priority) return P .. 'stream:' .. priority end

-- What others replaced by another type is deleted; the group of a stream is made where it is missing.
local function is_of(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
  return found == kind
end

local function last_started(name)
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', name)) do
    if group[2] == GROUP then return group[8] end
  end
end

local function prepare()
  for name, kind in pairs(KINDS) do is_of(P .. name, kind) end
  for _, priority in ipairs(PRIORITIES) do
    local name = stream(priority)
    if not is_of(name, 'stream') then
      redis.call('XGROUP', 'CREATE', name, GROUP, '0', 'MKSTREAM')
      -- Not the first time: its jobs have lost their entries.
      if redis.call('EXISTS', P .. 'made') == 1 then redis.call('SET', P .. 'lost', '1') end
    elseif not last_started(name) then
      redis.call('XGROUP', 'CREATE', name, GROUP, '0')
    end
  end
  if redis.call('EXISTS', P .. 'made') == 0 then redis.call('SET', P .. 'made', '1') end
end

-- Fields of a job; none if others deleted or replaced its hash.
local function get(id, ...)
  local found = redis.pcall('HMGET', job_key(id), ...)
  if not found.err then return unpack(found) end
end

local function read(id)
  local found = redis.pcall('HGETALL', job_key(id))
  return found.err and {} or found
end

local function number(text)
  local found = tonumber(text or nil)
  if found and found == found and math.abs(found) < math.huge then return found end
end

local function count(text)
  local found = number(text)
  if found and found >= 0 and found == math.floor(found) then return found end
end

local function is_one_of(known, text)
  for _, each in ipairs(known) do
    if text == each then return true end
  end
end

-- A job as a table, its numbers checked; or nil, and what is wrong with it.
local function load(id)
  local job = { id = id }
  local kind, own_id = redis.call('TYPE', job_key(id)).ok, nil
  if kind == 'none' then return nil, 'its hash was deleted' end
  if kind ~= 'hash' then return nil, 'its hash was replaced by a ' .. kind end
  own_id, job.state, job.entry, job.priority, job.order, job.since, job.attempts, job.tokens,
    job.deadline, job.worker, job.started_at, job.digest, job.error_kind = get(id, 'id', 'state',
    'entry', 'priority', 'priority_key', 'submitted_at', 'attempts', 'tokens', 'expires_at',
    'worker', 'started_at', 'digest', 'error_kind')
  job.order, job.since = number(job.order), number(job.since)
  job.attempts, job.tokens = count(job.attempts), count(job.tokens)
  if job.deadline == 'inf' then job.deadline = false end
  local has_deadline = job.deadline
  job.deadline = number(job.deadline)
  local sound = {
    { 'id', own_id == id },
    { 'state', is_one_of(STATES, job.state) },
    { 'priority', is_one_of(PRIORITIES, job.priority) },
    { 'priority_key', job.order },
    { 'submitted_at', job.since },
    { 'attempts', job.attempts },
    { 'tokens', job.tokens },
    { 'expires_at', job.deadline or not has_deadline },
    { 'entry', string.match(job.entry or '', '^%d+%-%d+$') },
  }
  for _, field in ipairs(sound) do
    if not field[2] then return nil, '`' .. field[1] .. '` is missing or wrong' end
  end
  job.name = stream(job.priority)
  return job
end

local function remove(id, ...)
  for _, name in ipairs({ ... }) do redis.call('ZREM', P .. name, id) end
end

local function id_of(name, entry)
  local found = redis.call('XRANGE', name, entry, entry)[1]
  for position = 1, found and #found[2] or 0, 2 do
    if found[2][position] == 'id' then return found[2][position + 1] end
  end
end

local function drop(name, entry)
  redis.call('XACK', name, GROUP, entry)
  redis.call('XDEL', name, entry)
end

-- Removes what refers to a job, sound or not, but not its hash.
local function detach(id)
  remove(id, 'later', 'ready', 'deadlines', 'dead', 'done', 'expired')
  local entry = string.match(get(id, 'entry') or '', '^%d+%-%d+$')
  for _, priority in ipairs(entry and PRIORITIES or {}) do
    if id_of(stream(priority), entry) == id then drop(stream(priority), entry) end
  end
end

local function delete(id)
  detach(id)
  redis.call('DEL', job_key(id))
end

-- Makes a dead letter of a job that cannot be done. It keeps what is left of its hash.
local function bury(id, reason, now, kind)
  if not kind then kind, reason = 'DamagedJob', 'its stored data are damaged: ' .. reason end
  is_of(job_key(id), 'hash')
  detach(id)
  redis.call('HDEL', job_key(id), 'worker')
  redis.call('HSET', job_key(id), 'id', id, 'state', 'dead', 'finished_at', now, 'error_kind', kind,
    'error', reason)
  redis.call('ZADD', P .. 'dead', now, id)
end

local function wait(id)
  redis.call('HSET', job_key(id), 'state', 'waiting')
  local deadline = number(get(id, 'expires_at'))
  if deadline then redis.call('ZADD', P .. 'deadlines', deadline, id) end
end

local function enter(id)
  local entry = redis.call('XADD', stream(get(id, 'priority')), '*', 'id', id)
  redis.call('HSET', job_key(id), 'entry', entry)
end

-- Gives a job whose stream was lost another entry; `head` finds it.
local function enter_again(job)
  local unfinished = job.state == 'waiting' or job.state == 'running'
  if unfinished and id_of(job.name, job.entry) ~= job.id then enter(job.id) end
end

local function make_ready(job)
  remove(job.id, 'later')
  redis.call('ZADD', P .. 'ready', job.order, job.id)
end

-- Lets a job that was started wait; its entry keeps its place in the stream.
local function wait_again(job, not_before)
  redis.call('XCLAIM', job.name, GROUP, WAITING, 0, job.entry, 'JUSTID')
  redis.call('HDEL', job_key(job.id), 'worker')
  redis.call('HSET', job_key(job.id), 'not_before', not_before)
  if tonumber(not_before) > 0 then
    redis.call('ZADD', P .. 'later', not_before, job.id)
  else
    make_ready(job)
  end
  wait(job.id)
end

local function finish(job, state, now)
  drop(job.name, job.entry)
  remove(job.id, 'later', 'ready', 'deadlines', 'dead')
  redis.call('HDEL', job_key(job.id), 'worker')
  redis.call('HSET', job_key(job.id), 'state', state, 'finished_at', now)
  if state ~= 'dead' then redis.call('HSET', job_key(job.id), 'payload', 'null') end
  redis.call('ZADD', P .. state, now, job.id)
end

-- Waiting jobs of a set up to a score; others are removed from the set.
local function due(name, now)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', P .. name, '-inf', now, 'BYSCORE')) do
    local job, reason = load(id)
    if not job then
      bury(id, reason, now)
    elseif job.state == 'waiting' then
      found[#found + 1] = job
    else
      remove(id, name)
    end
  end
  return found
end

local function expire(now)
  for _, job in ipairs(due('deadlines', now)) do finish(job, 'expired', now) end
end

-- Jobs that were not renewed for a lease wait again, or die after the last attempt.
local function take_over(name, lease_ms, max_attempts, now)
  local idle = redis.call('XPENDING', name, GROUP, 'IDLE', lease_ms, '-', '+', 100, RUNNING)
  for _, pending in ipairs(idle) do
    local entry = pending[1]
    local id = id_of(name, entry)
    local job, reason
    if id then job, reason = load(id) end
    if job and job.state == 'running' and job.entry == entry then
      if job.attempts < tonumber(max_attempts) then
        wait_again(job, '0')
      else
        redis.call('HSET', job_key(id), 'error_kind', 'WorkerLost',
          'error', 'its worker died at every attempt')
        finish(job, 'dead', now)
      end
    else
      if id and not job then bury(id, reason, now) end
      drop(name, entry)
    end
  end
end

-- Jobs that wait to be started again, if the sets that say when were lost.
local function find_again()
  local waiting = -redis.call('ZCARD', P .. 'later') - redis.call('ZCARD', P .. 'ready')
  for _, priority in ipairs(PRIORITIES) do
    for _, consumer in ipairs(redis.call('XPENDING', stream(priority), GROUP)[4] or {}) do
      if consumer[1] == WAITING then waiting = waiting + tonumber(consumer[2]) end
    end
  end
  if waiting <= 0 then return end
  for _, priority in ipairs(PRIORITIES) do
    local name = stream(priority)
    for _, pending in ipairs(redis.call('XPENDING', name, GROUP, '-', '+', 10000, WAITING)) do
      local id = id_of(name, pending[1])
      local job = id and load(id)
      if not job or job.state ~= 'waiting' or job.entry ~= pending[1] then
        drop(name, pending[1])
      elseif not redis.call('ZSCORE', P .. 'later', id) then
        make_ready(job)
      end
    end
  end
end

-- The first job of a stream that was never started, and the last entry that was.
local function head(name, now)
  local last = last_started(name)
  while true do
    local first = redis.call('XRANGE', name, '(' .. last, '+', 'COUNT', 1)[1]
    if not first then return nil, last end
    local entry, id = first[1], id_of(name, first[1])
    local job, reason
    if id then job, reason = load(id) end
    local is_its = job and job.entry == entry
    if is_its and job.state == 'waiting' then
      job.is_new = true
      return job, last
    end
    if is_its and job.state == 'running' then
      -- The group was lost; the lease counts from now.
      redis.call('XREADGROUP', 'GROUP', GROUP, RUNNING, 'COUNT', 1, 'STREAMS', name, '>')
      last = entry
    else
      if id and not job then bury(id, reason, now) end
      redis.call('XDEL', name, entry)
    end
  end
end

-- The first job that waits to be started again.
local function first_ready(now)
  while true do
    local id = redis.call('ZRANGE', P .. 'ready', 0, 0)[1]
    if not id then return nil end
    local job, reason = load(id)
    if job and job.state == 'waiting' then return job end
    if not job then bury(id, reason, now) end
    remove(id, 'ready')
  end
end

local function start(job, worker, now)
  if job.is_new then
    redis.call('XREADGROUP', 'GROUP', GROUP, RUNNING, 'COUNT', 1, 'STREAMS', job.name, '>')
  else
    redis.call('XCLAIM', job.name, GROUP, RUNNING, 0, job.entry, 'JUSTID')
  end
  remove(job.id, 'ready', 'later', 'deadlines')
  redis.call('HSET', job_key(job.id), 'state', 'running', 'worker', worker, 'started_at', now,
    'attempts', job.attempts + 1)
  return read(job.id)
end

-- See rules.py, which this follows line by line.
local function short_of(needed, level, rate)
  if level >= needed - 1e-3 then return 0 end
  return (needed - level) / rate
end

local function filled(level, limit, burst, rate, passed)
  return math.min(burst, math.max(number(level) or burst, -limit) + passed * rate)
end

local function admit(tokens, now, request_limit, request_burst, request_rate, token_limit,
    token_burst, token_rate)
  if request_limit == 0 and token_limit == 0 then return 0 end
  local requests, left, at = unpack(redis.call('HMGET', P .. 'bucket', 'requests', 'tokens', 'at'))
  local passed = math.max(0, now - (number(at) or now))
  requests = filled(requests, request_limit, request_burst, request_rate, passed)
  left = filled(left, token_limit, token_burst, token_rate, passed)
  local pause = 0
  if request_limit > 0 then pause = math.max(pause, short_of(1, requests, request_rate)) end
  if token_limit > 0 then
    pause = math.max(pause, short_of(math.min(tokens, token_burst), left, token_rate))
  end
  if pause == 0 then
    requests, left = requests - 1, left - tokens
  end
  redis.call('HSET', P .. 'bucket', 'requests', requests, 'tokens', left, 'at', now)
  return pause
end

local operations = {}

-- Whether a job is known; a damaged one may be submitted again.
local function is_usable(job)
  if not job then return false end
  if job.state == 'done' then return redis.call('HEXISTS', job_key(job.id), 'result') == 1 end
  return job.state ~= 'dead' or (job.error_kind and job.error_kind ~= 'DamagedJob'
    and job.error_kind ~= 'PoisonedPayload')
end

-- then for each job: id, digest, and its hash as one flat list of ARGV[2] entries; returns an id
-- that was used for another payload (then nothing is stored), and the jobs known before
function operations.add()
  local width = tonumber(ARGV[2]) + 2
  for position = 3, #ARGV, width do
    local job = load(ARGV[position])
    local digest = is_usable(job) and string.match(job.digest or '', '^%x+$')
    if digest and digest ~= ARGV[position + 1] then return { ARGV[position], {} } end
  end
  local known = {}
  for position = 3, #ARGV, width do
    local id = ARGV[position]
    local job = load(id)
    if is_usable(job) then
      enter_again(job)
      known[#known + 1] = read(id)
    else
      delete(id)
      redis.call('HSET', job_key(id), unpack(ARGV, position + 2, position + width - 1))
      enter(id)
      wait(id)
      known[#known + 1] = {}
    end
  end
  return { '', known }
end

-- now, then ids
function operations.get()
  expire(ARGV[2])
  local found = {}
  for position = 3, #ARGV do
    local job = load(ARGV[position])
    if job then enter_again(job) end
    found[#found + 1] = read(ARGV[position])
  end
  return found
end

-- Every job was looked at with `get` after a stream was lost.
function operations.found()
  redis.call('DEL', P .. 'lost')
end

-- now, worker, slots, lease in ms, max_attempts, then of requests and of tokens the limit a minute,
-- burst and rate; returns the jobs started, until when the rates hold the next, when a retry is
-- due, the last entries started, whether a stream was lost
function operations.claim()
  local now, worker, slots, lease_ms, max_attempts = unpack(ARGV, 2, 6)
  local rates = {}
  for position = 7, 12 do rates[#rates + 1] = tonumber(ARGV[position]) end
  local token_limit = rates[4]
  expire(now)
  find_again()
  for _, job in ipairs(due('later', now)) do make_ready(job) end
  local heads, seen, started, pause = {}, {}, {}, 0
  for rank, priority in ipairs(PRIORITIES) do
    take_over(stream(priority), lease_ms, max_attempts, now)
    heads[rank], seen[rank] = head(stream(priority), now)
  end
  while #started < tonumber(slots) do
    local first, from = first_ready(now), nil
    for rank = 1, #PRIORITIES do
      local job = heads[rank]
      if job and not (first and first.order <= job.order) then first, from = job, rank end
    end
    if not first then break end
    if first.deadline and first.deadline <= tonumber(now) then
      finish(first, 'expired', now)
    elseif token_limit > 0 and first.tokens > token_limit then
      bury(first.id, string.format('it needs %.0f tokens and the queue lets %.0f a minute start',
        first.tokens, token_limit), now, 'TooManyTokens')
    else
      pause = admit(first.tokens, tonumber(now), unpack(rates))
      if pause > 0 then break end
      started[#started + 1] = start(first, worker, now)
    end
    if from then heads[from], seen[from] = head(first.name, now) end
  end
  local next_retry = redis.call('ZRANGE', P .. 'later', 0, 0, 'WITHSCORES')[2] or ''
  local held = pause > 0 and string.format('%.17g', tonumber(now) + pause) or ''
  return { started, held, next_retry, seen, redis.call('EXISTS', P .. 'lost') }
end

-- worker, then id and attempts of each job it does
function operations.renew()
  for position = 3, #ARGV, 2 do
    local job = load(ARGV[position])
    if job and job.worker == ARGV[2] and job.attempts == tonumber(ARGV[position + 1]) then
      redis.call('XCLAIM', job.name, GROUP, RUNNING, 0, job.entry, 'JUSTID')
    end
  end
end

-- A result of a job that was taken over and has none yet is kept: it was paid for.
local function is_first_result(job, state, digest)
  local unfinished = job.state == 'running' or job.state == 'waiting'
    or job.error_kind == 'WorkerLost'
  return state == 'done' and job.state ~= 'done' and unfinished and job.digest == digest
end

-- for each job: id, digest, attempts, started_at, worker, now, state, not_before, result, error_kind,
-- error; returns for each 1 if it was stored, 0 if another worker has the job, 2 if its hash is lost
function operations.acknowledge()
  local kept = {}
  for position = 2, #ARGV, 11 do
    local id, digest, attempts, started_at, worker, now, state, not_before, result, error_kind,
      error = unpack(ARGV, position, position + 10)
    local job = load(id)
    local own = job and job.worker == worker and job.attempts == tonumber(attempts)
      and job.started_at == started_at
    if not job then
      kept[#kept + 1] = 2
    elseif not own and not is_first_result(job, state, digest) then
      kept[#kept + 1] = 0
    else
      kept[#kept + 1] = 1
      redis.call('HDEL', job_key(id), 'error_kind', 'error')
      if error_kind ~= '' then
        redis.call('HSET', job_key(id), 'error_kind', error_kind, 'error', error)
      end
      if state == 'done' then
        redis.call('HSET', job_key(id), 'result', result)
        redis.call('LPUSH', P .. 'latest', table.concat({ get(id, 'submitted_at'), started_at, now },
          ' '))
        redis.call('LTRIM', P .. 'latest', 0, LATEST - 1)
      end
      if state == 'waiting' then wait_again(job, not_before) else finish(job, state, now) end
    end
  end
  return kept
end

-- id, now, then the whole hash of a job whose hash was lost while it ran
function operations.restore()
  local id, now = ARGV[2], ARGV[3]
  delete(id)
  redis.call('HSET', job_key(id), unpack(ARGV, 4))
  enter(id)
  local job = load(id)
  if job.state == 'waiting' then wait(id) else finish(job, job.state, now) end
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
      detach(id)
      redis.call('HDEL', job_key(id), 'error', 'error_kind', 'expires_at', 'started_at',
        'finished_at')
      redis.call('HSET', job_key(id), 'attempts', '0', 'not_before', '0', 'submitted_at', now,
        'priority_key', priority_keys[priority])
      enter(id)
      wait(id)
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
    local old = redis.call('ZRANGE', P .. state, '-inf', '(' .. ARGV[2], 'BYSCORE')
    for _, id in ipairs(old) do
      if get(id, 'state') == state then
        delete(id)
        forgotten = forgotten + 1
      else
        remove(id, state)
      end
    end
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
    local never, again = head(name, ARGV[2]), redis.call('XPENDING', name, GROUP, '-', '+', 1, WAITING)[1]
    local id = again and id_of(name, again[1])
    local since = id and number(get(id, 'submitted_at'))
    oldest = math.min(oldest, never and never.since or oldest, since or oldest)
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

prepare()
return operations[ARGV[1]]()
