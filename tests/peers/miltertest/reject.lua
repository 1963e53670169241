-- Also to a client that offered nothing: a reply is no action that is negotiated. What it says is
-- in the log (milter_lua.py): miltertest reads no reply of two lines.
dofile(folder .. "/common.lua")
for _, offer in ipairs({{}, {2, 0, 0}}) do
	local conn = begin(offer[1], offer[2], offer[3])
	envelope(conn, "reject@a.example")
	message(conn, {})
	expect("reply", mt.getreply(conn), SMFIR_REPLYCODE)
	mt.disconnect(conn)
end
