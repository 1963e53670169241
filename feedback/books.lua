-- books.lua - what Redis does for Assay in one step each: the functions of the library "assay".
--
-- Every function touches the keys of one bucket. KEYS[1] is always "{b042}gen", which holds the
-- bucket's generation; all else of the books lies under "{b042}GENERATION:", so that `assay
-- rebuild` begins anew by counting the generation up, whoever is writing at that moment.
--
--   marks          hash  gateway -> position in its event log up to which this bucket has it
--   seen           zset  sender key -> when it was last counted here, in seconds
--   T:s:SENDER     hash  field -> count, in all; D17000:s:SENDER a day, H412000:s:SENDER an hour
--   ..:i:IP  ..:l:SENDER/LIST  ..:c:SENDER/CAMPAIGN  ..:k:KIND  ..:t   the same for address, list,
--                        campaign, class and all
--                        (an hour of these has `open` alone: that is all that is read of it)
--   ..:r:HASH            the same for a recipient that something was returned to: hard and open
--   D17000:names:l set   of what has a row of that kind and day (i, l, c, k)
--   u:HASH         a recipient answered 4xx and not yet otherwise, for the length of retries
--   m:HASH         hash  event id -> receipt of the transactions with that Message-ID
--   o712:7         set   of numbers: events that have been counted, by their first bits and half month
--   W:s:SENDER     hash  minute -> transactions, for windows that slide: a minute, an hour, a day
--   W:i:IP         the same for an address
--
-- A tuple is "hour\nsender\nip\nlist\nkind\ncampaign": the rows that one count goes into.
-- Fields: transactions sent accepted hard open complaints reports. `open` counts recipients
-- answered 4xx and not 2xx or 5xx later; readers part them into pending and soft by age.

local DAY = 86400
-- Hours are read for a day (also of recipients that may be pending), days for a month. What is busy has
-- a row of each in all 64 buckets, so that is most of what Redis holds; older days are in the event log.
local KEEP = {H = 3 * DAY, D = 40 * DAY}
-- There is no end of names (a sender that nobody knows goes by its address), so their totals live on
-- from their last count only; those that are found through the names of days no longer than these: a
-- list's name may be another with every mail.
local KEEP_SEEN = 400 * DAY
local KEEP_TOTAL = {s = KEEP_SEEN, i = KEEP.D, l = KEEP.D, c = KEEP.D, r = 40 * DAY}
local KEEP_RETRY = 5 * DAY   -- the longest that queues of MTAs try
local KEEP_RECEIPT = 30 * DAY
local ONCE_HOURS = 15 * 24   -- of a set of counted events; the one before and behind are asked, too
local KEEP_ONCE = 31 * DAY
local KEEP_WINDOW = DAY + 3600
local WINDOW_MINUTES = 1441  -- of a day that began inside a minute
local RECEIPTS = 1000        -- transactions kept of one Message-ID: a list's mail to its members
local MOVING = 'TRYAGAIN the bucket is on its way to another node'
local CHUNK = 1000           -- arguments of one MGET; Lua's stack holds 8000

-- In a slot that moves to another node some keys are here and some are there. The name of a key
-- that never exists tells: reading it fails exactly then, before anything was written.
local function moving(tag)
	local answer = redis.pcall('EXISTS', tag .. 'nothing')
	return type(answer) == 'table' and answer.err
end

local function prefix(key)
	return string.match(key, '^{.-}') .. (redis.call('GET', key) or '0') .. ':'
end

local function row_of(book, name)
	local row = book.rows[name]
	if not row then
		row = {}
		book.rows[name] = row
	end
	return row
end

-- The counters of a tuple's rows in this call; made once for each tuple. An older server's tuple
-- has no campaign.
local function rows_of(book, tuple)
	local rows = book.tuples[tuple]
	if rows then
		return rows
	end
	local hour, sender, ip, list, kind, campaign =
		string.match(tuple, '^(%-?%d+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n?([^\n]*)$')
	local h = 'H' .. hour .. ':'
	local d = 'D' .. math.floor(tonumber(hour) / 24) .. ':'
	rows = {all = {}, open = {}}
	local function count_in(kind_of_row, name, listed)
		for _, period in ipairs({'T:', d}) do
			rows.all[#rows.all + 1] = row_of(book, period .. kind_of_row .. name)
		end
		local hours = listed and rows.open or rows.all
		hours[#hours + 1] = row_of(book, h .. kind_of_row .. name)
		if listed then
			local names = d .. 'names:' .. kind_of_row
			book.names[names] = book.names[names] or {}
			book.names[names][name] = true
		end
	end
	count_in('t', '')
	count_in('s:', sender)
	if ip ~= '' then
		count_in('i:', ip, true)
	end
	if list ~= '' then
		count_in('l:', sender .. '/' .. list, true)
	end
	if campaign ~= '' then
		count_in('c:', sender .. '/' .. campaign, true)
	end
	if kind ~= '' then
		count_in('k:', kind, true)
	end
	book.senders[sender] = true
	book.tuples[tuple] = rows
	return rows
end

local function add(book, tuple, field, delta)
	local rows = rows_of(book, tuple)
	for _, row in ipairs(rows.all) do
		row[field] = (row[field] or 0) + delta
	end
	if field == 'open' then
		for _, row in ipairs(rows.open) do
			row.open = (row.open or 0) + delta
		end
	end
end

-- --- sliding windows -------------------------------------------------------------------
--
-- Transactions by the minute of their own time. A window is the whole minutes in it and that part
-- of the oldest one which still lies in it, so there is no moment at which a quota is free again.

local function window_add(book, name, minute)
	local minutes = book.windows[name] or {}
	minutes[minute] = (minutes[minute] or 0) + 1
	book.windows[name] = minutes
end

local function window_write(key, minutes)
	local new = false
	for minute, n in pairs(minutes) do
		new = redis.call('HINCRBY', key, minute, n) == n or new
	end
	if not new then -- this minute has seen to the rest
		return
	end
	redis.call('EXPIRE', key, KEEP_WINDOW)
	if redis.call('HLEN', key) <= 2 * WINDOW_MINUTES then
		return
	end
	local kept, newest, old = redis.call('HKEYS', key), 0, {}
	for _, minute in ipairs(kept) do
		newest = math.max(newest, tonumber(minute))
	end
	for _, minute in ipairs(kept) do
		if tonumber(minute) < newest - WINDOW_MINUTES and #old < CHUNK then
			old[#old + 1] = minute
		end
	end
	if #old > 0 then
		redis.call('HDEL', key, unpack(old))
	end
end

local function write(book)
	local p = book.prefix
	for name, row in pairs(book.rows) do
		local changed, new = false, false -- a new field: perhaps a new row
		for field, delta in pairs(row) do
			if delta ~= 0 then
				new = redis.call('HINCRBY', p .. name, field,
					string.format('%d', delta)) == delta or new
				changed = true
			end
		end
		local keep, total = KEEP[string.sub(name, 1, 1)], KEEP_TOTAL[string.sub(name, 3, 3)]
		if not changed then -- nothing was made that could live for ever
		elseif keep then
			if new then
				redis.call('EXPIRE', p .. name, keep, 'NX')
			end
		elseif total and string.sub(name, 4, 4) == ':' then
			redis.call('EXPIRE', p .. name, total)
		end
	end
	for key, names in pairs(book.names) do
		local new = false
		for name in pairs(names) do
			new = redis.call('SADD', p .. key, name) == 1 or new
		end
		if new then
			redis.call('EXPIRE', p .. key, KEEP.D, 'NX')
		end
	end
	if next(book.senders) then
		local now = tonumber(redis.call('TIME')[1])
		for sender in pairs(book.senders) do
			redis.call('ZADD', p .. 'seen', now, sender)
		end
		redis.call('ZREMRANGEBYSCORE', p .. 'seen', '-inf', now - KEEP_SEEN)
	end
	for name, minutes in pairs(book.windows) do
		window_write(p .. 'W:' .. name, minutes)
	end
end

-- --- recipients that are tried again -------------------------------------------------
--
-- One recipient of one message counts once, by its final state. A unit waits under two names:
-- k1 made of envelope and Message-ID ('' where no message was seen), k2 of envelope and network.

local function unit_get(book, name)
	local unit = book.units[name]
	if unit == nil then
		local packed = redis.call('GET', book.prefix .. 'u:' .. name)
		unit = packed and cmsgpack.unpack(packed) or false
		book.units[name] = unit
	end
	return unit
end

local function unit_put(book, name, unit)
	if name ~= '' then
		book.units[name] = unit
		redis.call('SET', book.prefix .. 'u:' .. name, cmsgpack.pack(unit), 'EX', KEEP_RETRY)
	end
end

local function unit_drop(book, name)
	if name ~= '' then
		book.units[name] = false
		redis.call('DEL', book.prefix .. 'u:' .. name)
	end
end

local function unit_find(book, k1, k2, time)
	local unit = k1 ~= '' and unit_get(book, k1)
	if not unit then
		unit = unit_get(book, k2)
		-- another message from there to the same recipient is another unit
		if unit and k1 ~= '' and unit.k1 ~= '' then
			return nil
		end
	end
	if unit and time >= unit.time and time - unit.time <= KEEP_RETRY then
		return unit
	end
	return nil
end

-- What a recipient (under its hash) was returned, in all and by the hour.
local function returned(book, hash, tuple, field, delta)
	if hash ~= '' then
		local hour = string.match(tuple, '^%-?%d+')
		for _, period in ipairs({'T:', 'H' .. hour .. ':'}) do
			local row = row_of(book, period .. 'r:' .. hash)
			row[field] = (row[field] or 0) + delta
			row.sent = (row.sent or 0) + delta
		end
	end
end

local function unit_seen(book, unit)
	local old = unit_find(book, unit.k1, unit.k2, unit.time)
	if old then
		add(book, old.tuple, 'sent', -1)
		add(book, old.tuple, 'open', -1)
		returned(book, old.rcpt or '', old.tuple, 'open', -1)
		unit_drop(book, old.k1)
		local by_network = unit_get(book, old.k2)
		if by_network and by_network.k1 == old.k1 then
			unit_drop(book, old.k2)
		end
		unit.k1 = unit.k1 ~= '' and unit.k1 or old.k1
	end
	if unit.state == 'p' then
		returned(book, unit.rcpt, unit.tuple, 'open', 1)
		unit_put(book, unit.k1, unit)
		unit_put(book, unit.k2, unit)
	elseif unit.state == 'h' then
		returned(book, unit.rcpt, unit.tuple, 'hard', 1)
	end
end

local function units_fetch(book, names)
	for first = 1, #names, CHUNK do
		local keys = {}
		for i = first, math.min(first + CHUNK - 1, #names) do
			keys[#keys + 1] = book.prefix .. 'u:' .. names[i]
		end
		local values = redis.pcall('MGET', unpack(keys))
		if values.err then -- a slot that is not wholly ours yet has answers for single keys
			values = {}
			for i, key in ipairs(keys) do
				values[i] = redis.call('GET', key)
			end
		end
		for i, packed in ipairs(values) do
			book.units[names[first + i - 1]] = packed and cmsgpack.unpack(packed) or false
		end
	end
end

-- --- the recorder ------------------------------------------------------------------------

local function receipt(book, hash, id, value)
	local key = book.prefix .. 'm:' .. hash
	if redis.call('HLEN', key) < RECEIPTS then
		redis.call('HSET', key, id, value)
		redis.call('EXPIRE', key, KEEP_RECEIPT)
	end
end

-- A million complaints are two million ids: each is a number of eight octets in a set of integers, not
-- a key of its own, which has 150.
local function first_time(p, tuple, shard, id)
	local period = math.floor(tonumber(string.match(tuple, '^%-?%d+')) / ONCE_HOURS)
	local sets = p .. 'o' .. shard .. ':'
	for other = period - 1, period + 1, 2 do
		if redis.call('SISMEMBER', sets .. other, id) == 1 then
			return false
		end
	end
	local new = redis.call('SADD', sets .. period, id) == 1
	redis.call('EXPIRE', sets .. period, KEEP_ONCE, 'NX')
	return new
end

-- args: gateway, mark before, mark after, then operations, each with a letter in front:
--   n tuple count {field delta}         counts
--   u a|h|p k1 k2 time tuple hash       a recipient that was answered 2xx, 5xx or 4xx
--   w sender ip minute                  one transaction in the windows that slide
--   m hash id value                     a receipt
--   o shard id tuple field              one count, once for this id
-- Returns 1, or the mark that this bucket really has, and then nothing was done.
local function record(keys, args)
	if moving(string.match(keys[1], '^{.-}')) then
		return redis.error_reply(MOVING)
	end
	local p = prefix(keys[1])
	local mark = redis.call('HGET', p .. 'marks', args[1]) or ''
	if mark ~= args[2] then
		return mark
	end
	local book = {prefix = p, tuples = {}, rows = {}, senders = {}, names = {}, units = {},
		windows = {}}
	local seen, names = {}, {}
	local i = 4
	while i <= #args do
		local op = args[i]
		if op == 'n' then
			local last = i + 2 + 2 * tonumber(args[i + 2])
			for field = i + 3, last, 2 do
				add(book, args[i + 1], args[field], tonumber(args[field + 1]))
			end
			i = last + 1
		elseif op == 'u' then
			seen[#seen + 1] = i
			if args[i + 2] ~= '' then
				names[#names + 1] = args[i + 2]
			end
			names[#names + 1] = args[i + 3]
			i = i + 7
		elseif op == 'w' then
			window_add(book, 's:' .. args[i + 1], args[i + 3])
			if args[i + 2] ~= '' then
				window_add(book, 'i:' .. args[i + 2], args[i + 3])
			end
			i = i + 4
		elseif op == 'm' then
			receipt(book, args[i + 1], args[i + 2], args[i + 3])
			i = i + 4
		elseif op == 'o' then
			if first_time(p, args[i + 3], args[i + 1], args[i + 2]) then
				add(book, args[i + 3], args[i + 4], 1)
			end
			i = i + 5
		else
			return redis.error_reply('ERR unknown operation ' .. op)
		end
	end
	units_fetch(book, names)
	for _, at in ipairs(seen) do
		unit_seen(book, {state = args[at + 1], k1 = args[at + 2], k2 = args[at + 3],
			time = tonumber(args[at + 4]), tuple = args[at + 5], rcpt = args[at + 6]})
	end
	write(book)
	redis.call('HSET', p .. 'marks', args[1], args[3])
	return 1
end

-- --- readers ------------------------------------------------------------------------------

local function mark(keys, args)
	return redis.call('HGET', prefix(keys[1]) .. 'marks', args[1]) or ''
end

local function senders(keys)
	return redis.call('ZRANGE', prefix(keys[1]) .. 'seen', 0, -1)
end

-- A row's counts since the beginning of the day `first`, or with 0 all.
local function counts_since(p, row, first, today)
	if first == 0 then
		return redis.call('HGETALL', p .. 'T:' .. row)
	end
	local sums, answer = {}, {}
	for day = first, today do
		local counts = redis.call('HGETALL', p .. 'D' .. day .. ':' .. row)
		for i = 1, #counts, 2 do
			sums[counts[i]] = (sums[counts[i]] or 0) + tonumber(counts[i + 1])
		end
	end
	for field, n in pairs(sums) do
		answer[#answer + 1] = field
		answer[#answer + 1] = n
	end
	return answer
end

local function value_of(counts, field)
	for i = 1, #counts, 2 do
		if counts[i] == field then
			return tonumber(counts[i + 1])
		end
	end
	return 0
end

-- args: row, the first and the last day. Returns the sums of sent, accepted, hard, open, complaints.
local function days(keys, args)
	local counts = counts_since(prefix(keys[1]), args[1], tonumber(args[2]), tonumber(args[3]))
	local sums = {}
	for i, field in ipairs({'sent', 'accepted', 'hard', 'open', 'complaints'}) do
		sums[i] = value_of(counts, field)
	end
	return sums
end

-- args: kind of row ("l:"), the first and the last day. Returns the names with a row in them.
local function names(keys, args)
	local p, sets = prefix(keys[1]), {}
	for day = tonumber(args[2]), tonumber(args[3]) do
		sets[#sets + 1] = p .. 'D' .. day .. ':names:' .. args[1]
	end
	local union = redis.pcall('SUNION', unpack(sets))
	if not union.err then
		return union
	end
	local all = {}
	union = {}
	for _, set in ipairs(sets) do -- as units_fetch()
		for _, name in ipairs(redis.call('SMEMBERS', set)) do
			if not all[name] then
				union[#union + 1] = name
			end
			all[name] = true
		end
	end
	return union
end

-- args: row ("s:SENDER"), "H" or "D", the first and the last of these hours or days. Returns
-- {{hour or day, counts} ...}.
local function series(keys, args)
	local p, answer = prefix(keys[1]), {}
	for at = tonumber(args[3]), tonumber(args[4]) do
		local counts = redis.call('HGETALL', p .. args[2] .. at .. ':' .. args[1])
		if #counts > 0 then
			answer[#answer + 1] = {at, counts}
		end
	end
	return answer
end

-- How many of a row's `open` were answered since the hour `first`: from the newest hour back, and
-- no further than to the last one of them. Most rows have none, and nothing is read.
local function pending(p, row, open, first, last)
	local sum = 0
	for hour = last, first, -1 do
		if sum >= open then
			break
		end
		sum = sum + tonumber(redis.call('HGET', p .. 'H' .. hour .. ':' .. row, 'open') or 0)
	end
	return math.min(sum, open)
end

-- How many in the last minute, hour and day, as texts: a part of a minute is one of a count.
local function window(p, row, now)
	local counts = redis.call('HGETALL', p .. 'W:' .. row)
	local minute, left = math.floor(now / 60), 1 - now % 60 / 60
	local sums, sizes = {0, 0, 0}, {1, 60, 1440}
	for i = 1, #counts, 2 do
		local age, n = minute - tonumber(counts[i]), tonumber(counts[i + 1])
		for w, size in ipairs(sizes) do
			if age >= 0 and age < size then
				sums[w] = sums[w] + n
			elseif age == size then
				sums[w] = sums[w] + n * left
			end
		end
	end
	return tostring(sums[1]), tostring(sums[2]), tostring(sums[3])
end

-- args: the first hour of which a recipient may be pending, the first day that counts (0: all),
-- now in seconds, rows. Returns for each row {counts, pending, minute, hour, day}.
local function rows(keys, args)
	local p, answer = prefix(keys[1]), {}
	local first, day, now = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
	for i = 4, #args do
		local counts = counts_since(p, args[i], day, math.floor(now / DAY))
		answer[i - 3] = {counts, pending(p, args[i], value_of(counts, 'open'),
			math.max(first, 24 * day), math.floor(now / 3600)), window(p, args[i], now)}
	end
	return answer
end

local function receipts(keys, args)
	return redis.call('HGETALL', prefix(keys[1]) .. 'm:' .. args[1])
end

local function renew(keys)
	return redis.call('INCR', keys[1])
end

-- KEYS[2] goes if it is of a generation that is over.
local function sweep(keys)
	local p = prefix(keys[1])
	if string.sub(keys[2], 1, #p) ~= p then
		return redis.call('UNLINK', keys[2])
	end
	return 0
end

local function register(name, callback, flags)
	redis.register_function{function_name = 'assay_' .. name, callback = callback, flags = flags}
end

register('version', function() return VERSION end, {'no-writes'})
register('record', record, {})
register('renew', renew, {})
register('sweep', sweep, {})
register('mark', mark, {'no-writes'})
register('senders', senders, {'no-writes'})
register('days', days, {'no-writes'})
register('names', names, {'no-writes'})
register('series', series, {'no-writes'})
register('rows', rows, {'no-writes'})
register('receipts', receipts, {'no-writes'})
