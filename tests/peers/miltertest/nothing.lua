-- A client that offers no actions and no steps: asked for none, and its mail goes through.
dofile(folder .. "/common.lua")
local conn = begin(2, 0, 0)
for _, action in ipairs({SMFIF_ADDHDRS, SMFIF_CHGHDRS, SMFIF_QUARANTINE, SMFIF_SETSYMLIST}) do
	expect("an action", mt.test_action(conn, action), false)
end
for _, step in ipairs({SMFIP_RCPT_REJ, SMFIP_HDR_LEADSPC, SMFIP_NOHELO, SMFIP_NR_HDR}) do
	expect("a step", mt.test_option(conn, step), false)
end
envelope(conn, "nothing@a.example")
message(conn, {"Message-ID", "<nothing@lua>"})
local reply = mt.getreply(conn)
if reply ~= SMFIR_CONTINUE and reply ~= SMFIR_ACCEPT then
	error("end of message: reply " .. tostring(reply))
end
expect("a header", mt.eom_check(conn, MT_HDRADD) or mt.eom_check(conn, MT_HDRINSERT), false)
mt.disconnect(conn)
