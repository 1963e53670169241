-- common.lua - what the scripts share. The runner (milter_lua.py) defines `socket` and `mail`.

function expect(what, got, want)
	if got ~= want then
		error(what .. ": " .. tostring(got) .. ", want " .. tostring(want))
	end
end

function good(what, trouble)
	expect(what, trouble, nil)
end

-- A connection that has offered `version, actions, steps` (nil: all that miltertest knows).
function begin(version, actions, steps)
	local conn = mt.connect(socket)
	if conn == nil then
		error("no connection to " .. socket)
	end
	good("negotiate", mt.negotiate(conn, version, actions, steps))
	if not mt.test_option(conn, SMFIP_NOCONNECT) then
		good("conninfo", mt.conninfo(conn, "client.example", "192.0.2.7"))
	end
	good("helo", mt.helo(conn, "client.example"))
	return conn
end

function envelope(conn, sender)
	mt.macro(conn, SMFIC_MAIL, "i", "4F00")
	good("mailfrom", mt.mailfrom(conn, "<" .. sender .. ">"))
	expect("reply to MAIL", mt.getreply(conn), SMFIR_CONTINUE)
	good("rcptto", mt.rcptto(conn, "<r@mbox.example>"))
	expect("reply to RCPT", mt.getreply(conn), SMFIR_CONTINUE)
end

-- The message of a file, with `first` (name, value, ...) in front of its header.
function message(conn, first)
	for i = 1, #first, 2 do
		good("header", mt.header(conn, first[i], first[i + 1]))
	end
	local body, name, value = {}, nil, nil
	local in_header = true
	for line in io.lines(mail) do
		line = string.gsub(line, "\r$", "")
		if not in_header then
			body[#body + 1] = line .. "\r\n"
		elseif string.find(line, "^[ \t]") then
			value = value .. "\n" .. line
		else
			if name then
				good("header", mt.header(conn, name, value))
			end
			name, value = string.match(line, "^([^:]+):(.*)$")
			in_header = name ~= nil
		end
	end
	good("eoh", mt.eoh(conn))
	good("body", mt.bodystring(conn, table.concat(body)))
	good("eom", mt.eom(conn))
end

-- A verdict in the header, and no other answer than "go on" or "accept".
function accepted(conn, action)
	local reply = mt.getreply(conn)
	if reply ~= SMFIR_CONTINUE and reply ~= SMFIR_ACCEPT then
		error("end of message: reply " .. tostring(reply))
	end
	local verdict = mt.getheader(conn, "X-Assay-Verdict", 0)
	if not verdict or not string.find(verdict, "^%s*" .. action .. "; id=%w+; score=") then
		error("X-Assay-Verdict: " .. tostring(verdict))
	end
end
