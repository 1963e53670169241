-- A client that offers all: what is asked for, and both headers.
dofile(folder .. "/common.lua")
local conn = begin(nil, nil, nil)
for _, action in ipairs({SMFIF_ADDHDRS, SMFIF_CHGHDRS, SMFIF_QUARANTINE}) do
	expect("an action", mt.test_action(conn, action), true)
end
for _, step in ipairs({SMFIP_RCPT_REJ, SMFIP_HDR_LEADSPC}) do
	expect("a step", mt.test_option(conn, step), true)
end
expect("a body to change", mt.test_action(conn, SMFIF_CHGBODY), false)
envelope(conn, "everything@a.example")
message(conn, {"Message-ID", "<everything@lua>"})
accepted(conn, "accept")
local results = mt.getheader(conn, "Authentication-Results", 0)
if not results or not string.find(results, "^%s*mx1%.mbox%.example;") then
	error("Authentication-Results: " .. tostring(results))
end
expect("a header deleted", mt.eom_check(conn, MT_HDRDELETE), false)
mt.disconnect(conn)
