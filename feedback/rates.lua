-- rates.lua - sliding windows that all gateways share: a part of the library "assay".
--
-- They live outside of the books' generations: `assay rebuild` does not touch them.
--
--   r:KEY    string  revision, then slots and counts in order: series.h says how slots widen
--   r@KEY    hash    process -> "number seconds": what it has under way, and until when that holds
--   r#ID     string  number of the last batch of that process that this bucket has
--   r+       string  microseconds to be added to this server's clock, and the latest time so made
--
-- The time of slots goes on when the clock of this server jumps, or a bucket comes to a server with
-- another clock: processes, whose clocks do not jump, say what time they go by, and the first that sees
-- a jump takes it back here for all. None may take back what others have seen: one whose machine slept
-- is behind, and follows.
--
-- A batch whose answer was lost is sent again under its number, and counts once. A bucket that
-- has another number than the process expects has lost something (a flush, a fail-over); the
-- answer says so, and the process tells what it knows of each key when it next speaks of it:
-- the larger count of a slot holds then, so that all gateways may do so.

local SLOT_US, MINUTE, HOUR, DAY = 937500, 64, 3840, 92160
local KEEP_RATES = 90000     -- seconds: a day and its widest slots
local SLOTS = 260            -- of one key; past it old ones are put together, 200 stay
local JUMP = 2000000         -- microseconds: no delay of a call
local SETTLED = 3            -- slots after which a count is late: readers ask for the newest 4

-- The time of slots, in microseconds; `theirs`: what the caller goes by, 0: it has heard nothing yet.
local function clock(tag, theirs)
	local time, key = redis.call('TIME'), tag .. 'r+'
	local offset, last = string.match(redis.call('GET', key) or '', '^(%-?%d+) (%d+)$')
	offset, last = tonumber(offset or 0), tonumber(last or 0)
	local now = time[1] * 1000000 + time[2] + offset
	if theirs > 0 and math.abs(theirs - now) > JUMP and theirs > last - JUMP then
		offset = offset + theirs - now
		now = theirs
	end
	redis.call('SET', key, string.format('%.0f %.0f', offset, math.max(now, last)), 'EX', KEEP_RATES)
	return now
end

local function aligned(at, now)
	local age = now - at
	if age <= MINUTE + 1 then
		return at
	end
	return at - at % (age <= HOUR + 120 and 60 or 1440)
end

local function read_slots(into, text, first, now)
	for i = first, #text - 7, 8 do
		local at, n = struct.unpack('<I4i4', text, i)
		if at <= now + MINUTE and now - at <= DAY + HOUR then
			at = aligned(at, now)
			into[at] = (into[at] or 0) + n
		end
	end
	return into
end

-- The whole list anew: what was there, at least what `restore` says, and `deltas`.
local function rewrite(key, v, revision, deltas, restore, now)
	local slots, order = read_slots({}, v, 5, now), {}
	for at, n in pairs(read_slots({}, restore, 1, now)) do
		slots[at] = math.max(slots[at] or 0, n)
	end
	read_slots(slots, deltas, 1, now)
	for at, n in pairs(slots) do
		if n > 0 then
			order[#order + 1] = at
		end
	end
	table.sort(order)
	local parts = {struct.pack('<I4', revision)}
	for _, at in ipairs(order) do
		parts[#parts + 1] = struct.pack('<I4I4', at, math.min(slots[at], 2147483647))
	end
	v = table.concat(parts)
	redis.call('SET', key, v, 'EX', KEEP_RATES)
	return v
end

-- One count into one of the newest slots, as small a command as possible; nil: not so easy.
local function add_newest(key, v, at, n)
	for i = #v - 7, math.max(5, #v - 31), -8 do
		local slot, count = struct.unpack('<I4I4', v, i)
		if slot == at then
			local s = struct.pack('<I4', math.min(math.max(count + n, 0), 2147483647))
			redis.call('SETRANGE', key, i + 3, s)
			return string.sub(v, 1, i + 3) .. s .. string.sub(v, i + 8)
		elseif slot < at then
			if i ~= #v - 7 or n <= 0 or #v > 4 + 8 * SLOTS then
				return nil
			end
			local s = struct.pack('<I4I4', at, n)
			redis.call('APPEND', key, s)
			if math.floor(at / 1440) ~= math.floor(slot / 1440) then
				redis.call('EXPIRE', key, KEEP_RATES)
			end
			return v .. s
		end
	end
	return nil
end

-- request: slot from which the answer is wanted, revision that the asker has, number of deltas,
-- the deltas, and what is to be restored. The answer is "w" and the whole list, or "e" and its end
-- when the asker has the rest: an asker who was away for a minute has old slots as they were then.
local function rate(key, request, now, apply)
	local from, known, n = struct.unpack('<I4I4I2', request)
	local deltas_end = 10 + 8 * n
	local v = redis.call('GET', key)
	local revision = v and struct.unpack('<I4', v) or now
	local restore = string.sub(request, deltas_end + 1)
	local rest, late = '', restore ~= ''
	if v and #v > 4 and struct.unpack('<I4', v, #v - 7) > now + MINUTE then
		late = true -- the clock of this server went back
	end
	for i = 11, apply and deltas_end or 0, 8 do
		local at, count = struct.unpack('<I4i4', request, i)
		if at > now + 1 then
			at = now
		end
		local added = v and not late and rest == '' and at >= now - SETTLED and
			add_newest(key, v, at, count)
		if added then
			v = added
		else
			late = late or (v and at < now - SETTLED)
			rest = rest .. struct.pack('<I4i4', at, count)
		end
	end
	if rest ~= '' or late then
		revision = late and math.max(revision + 1, now) or revision
		v = rewrite(key, v or '', revision, rest, restore, now)
	end
	if not v or known ~= revision or from < now - 60 or from > now then
		return 'w' .. (v or '')
	end
	local first = #v + 1
	while first > 5 and struct.unpack('<I4', v, first - 8) >= from do
		first = first - 8
	end
	return 'e' .. string.sub(v, 1, 4) .. string.sub(v, first)
end

-- args: process, number of the batch, the process' time, then key and request of each. Returns "next",
-- "again" (the batch was here before) or "lost", the time in microseconds, and an answer for each key.
local function rates(keys, args)
	local tag = string.match(keys[1], '^{.-}')
	if moving(tag) then
		return redis.error_reply(MOVING)
	end
	local time = clock(tag, tonumber(args[3]))
	local now = math.floor(time / SLOT_US)
	local answer = {'next', string.format('%.0f', time)}
	if #args == 3 then
		return answer
	end
	local name = tag .. 'r#' .. args[1]
	local mark, number = tonumber(redis.call('GET', name) or 0), tonumber(args[2])
	if mark == number then
		answer[1] = 'again'
	elseif mark ~= number - 1 then
		answer[1] = 'lost'
	end
	for i = 4, #args, 2 do
		answer[#answer + 1] = rate(tag .. 'r:' .. args[i], args[i + 1], now,
			answer[1] ~= 'again')
	end
	redis.call('SET', name, args[2], 'EX', KEEP_RATES)
	return answer
end

-- args: process, seconds for which its word holds, then of each its key, how many the process has under
-- way, and how many all may have (0: no bound; past it no new one is written down). Returns for each
-- what all others have under way. Words from before a jump of this server's clock do not hold: they are
-- told again within a second.
local function under_way(keys, args)
	local tag = string.match(keys[1], '^{.-}')
	if moving(tag) then
		return redis.error_reply(MOVING)
	end
	local now, answer = tonumber(redis.call('TIME')[1]), {}
	for i = 3, #args, 3 do
		local key, had, others = tag .. 'r@' .. args[i], 0, 0
		local mine, most = tonumber(args[i + 1]), tonumber(args[i + 2])
		local all = redis.call('HGETALL', key)
		for at = 1, #all, 2 do
			local n, ends = string.match(all[at + 1], '^(%d+) (%d+)$')
			if not n or tonumber(ends) <= now or tonumber(ends) > now + args[2] then
				redis.call('HDEL', key, all[at])
			elseif all[at] == args[1] then
				had = tonumber(n)
			else
				others = others + n
			end
		end
		if most > 0 then
			mine = math.min(mine, math.max(had, most - others))
		end
		if mine == 0 then
			redis.call('HDEL', key, args[1])
		else
			redis.call('HSET', key, args[1], mine .. ' ' .. now + args[2])
			redis.call('EXPIRE', key, args[2])
		end
		answer[#answer + 1] = others
	end
	return answer
end

register('rates', rates, {})
register('under_way', under_way, {})
