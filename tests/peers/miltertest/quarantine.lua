dofile(folder .. "/common.lua")
local conn = begin(nil, nil, nil)
envelope(conn, "quarantine@a.example")
message(conn, {})
accepted(conn, "tag")
expect("quarantine", mt.eom_check(conn, MT_QUARANTINE), true)
mt.disconnect(conn)

-- Who did not offer it is not asked for it. miltertest 1.6.0 sends the offers of actions and steps the
-- other way round.
conn = begin(2, 0, SMFIF_ADDHDRS)
expect("an offer", mt.test_action(conn, SMFIF_ADDHDRS), true)
envelope(conn, "no-quarantine@a.example")
message(conn, {})
accepted(conn, "tag")
expect("quarantine", mt.eom_check(conn, MT_QUARANTINE), false)
mt.disconnect(conn)
