-- airstrip.lua - what haproxy.cfg of this folder needs beyond HAProxy's own means.

-- Which host a request should go to, so that prefix caches are found again:
--
--   http-request lua.airstrip_host          in a backend: sets txn.host from txn.key
--
-- Of the hosts that are up and have a free place, the one whose name and the key together have the largest hash (rendezvous
-- hashing: Thaler and Ravishankar 1998): a key stays with its host whatever happens to others, and the keys of a host that is down
-- or full go to all others alike.  Without a key, or where all hosts are full, nothing is set and the backend's "balance" decides.

-- How many requests a server takes at once; less while it starts slowly.
local function places(stats)
    local limit = tonumber(stats.slim) or math.huge
    local percent = tonumber(stats.throttle) or 100
    return math.max(1, limit * percent / 100)
end

local function serves(stats)
    return stats.status:sub(1, 2) == "UP" or stats.status == "no check"
end

local backends = {}     -- that ask for it

local function choose(txn)
    local backend = txn.f:be_name()
    backends[backend] = true
    local key = txn:get_var("txn.key")
    local best, most
    if not key or key == "" then
        return
    end
    for name, server in pairs(core.backends[backend].servers) do
        local stats = server:get_stats()
        if serves(stats) and tonumber(stats.scur) < places(stats) then
            local hash = tonumber(txn.c:xxh32(name .. "\0" .. key, 0))
            if not best or hash > most then
                best, most = name, hash
            end
        end
    end
    if best then
        txn:set_var("txn.host", best)
    end
end

core.register_action("airstrip_host", { "http-req" }, choose)

-- A host that has been down for some seconds will not go on with what it had: its connections are ended, so that clients hear of it.
-- "on-marked-down shutdown-sessions" would do that at once, and so also to requests that were only trying to connect, which
-- another host can serve; after "timeout connect" none of those is left.
local GRACE_S = 3

core.register_task(function()
    while true do
        core.sleep(1)
        for backend in pairs(backends) do
            for _, server in pairs(core.backends[backend].servers) do
                local stats = server:get_stats()
                if stats.status:sub(1, 4) == "DOWN" and tonumber(stats.lastchg) >= GRACE_S and tonumber(stats.scur) > 0 then
                    core.log(core.warning, "airstrip: " .. stats.pxname .. "/" .. stats.svname .. " is down; its " .. stats.scur .. " requests are ended")
                    server:shut_sess()
                end
            end
        end
    end
end)
