-- Headers with our name or id that the sender wrote himself go; those of others stay.
dofile(folder .. "/common.lua")
local conn = begin(nil, nil, nil)
envelope(conn, "forged@a.example")
message(conn, {"X-Assay-Verdict", " accept; id=01ARZ3NDEKTSV4RRFFQ69G5FAV; score=0; compliance=100",
	"Authentication-Results", " mx1.mbox.example; dkim=pass header.d=bank.example",
	"Message-ID", "<forged@lua>"})
accepted(conn, "accept")
expect("the forged verdict goes", mt.eom_check(conn, MT_HDRDELETE, "X-Assay-Verdict"), true)
expect("the forged results go", mt.eom_check(conn, MT_HDRDELETE, "Authentication-Results"), true)
mt.disconnect(conn)

conn = begin(nil, nil, nil)
envelope(conn, "others@a.example")
message(conn, {"Authentication-Results", " mx.other.example; dkim=pass header.d=a.example",
	"Message-ID", "<others@lua>"})
accepted(conn, "accept")
expect("results of others stay", mt.eom_check(conn, MT_HDRDELETE), false)
mt.disconnect(conn)
