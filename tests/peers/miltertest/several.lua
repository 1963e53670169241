-- One connection: a message, one given up in its body, one given up behind MAIL, and one more.
dofile(folder .. "/common.lua")
local conn = begin(nil, nil, nil)
envelope(conn, "first@a.example")
message(conn, {"Message-ID", "<first@lua>"})
accepted(conn, "accept")
local id = mt.getheader(conn, "X-Assay-Verdict", 0)

envelope(conn, "aborted@a.example")
good("header", mt.header(conn, "Subject", " given up"))
good("eoh", mt.eoh(conn))
good("body", mt.bodystring(conn, "half of it\r\n"))
good("abort", mt.abort(conn))

envelope(conn, "early@a.example")
good("abort", mt.abort(conn))

envelope(conn, "last@a.example")
message(conn, {"Message-ID", "<last@lua>"})
accepted(conn, "accept")
if mt.getheader(conn, "X-Assay-Verdict", 0) == id then
	error("two messages, one id")
end
mt.disconnect(conn)

conn = begin(nil, nil, nil)
envelope(conn, "lost@a.example")
mt.disconnect(conn, false) -- the connection breaks
