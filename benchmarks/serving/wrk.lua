-- Sends the bodies of a file, one per line, in turn, and prints the result as one line of JSON.
-- Arguments: the file; requests per second, or 0 to send the next one as soon as a connection is free; and the
-- milliseconds at the start in which successful answers are not counted, because the queue of the server still fills.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, microseconds; } moment; int gettimeofday(moment *now, void *zone);")

local thread

function setup(only)
  thread = only
end

local function milliseconds()
  local now = ffi.new("moment")
  ffi.C.gettimeofday(now, nil)
  return tonumber(now.seconds) * 1000 + tonumber(now.microseconds) / 1000
end

function init(arguments)
  local requests, sent = {}, 0
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, body)
  end
  function request()
    sent = sent % #requests + 1
    return requests[sent]
  end
  local interval = 1000 / tonumber(arguments[2])
  if interval < math.huge then
    -- A free connection takes the next time of the schedule, so answers that come late do not lower the rate.
    local due
    function delay()
      local now = milliseconds()
      due = (due or now) + interval
      return math.max(0, due - now)
    end
  end
  statuses, counted, counted_from = {}, 0, milliseconds() + tonumber(arguments[3])
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
  if status == 200 and milliseconds() >= counted_from then
    counted = counted + 1
  end
end

function done(summary, latency)
  local counts = {}
  for status, count in pairs(thread:get("statuses")) do
    counts[#counts + 1] = string.format('"%d": %d', status, count)
  end
  local errors = summary.errors
  print(string.format(
    '{"counted": %d, "p50": %f, "p99": %f, "unanswered": %d, "statuses": {%s}}',
    thread:get("counted"), latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(counts, ", ")))
end
