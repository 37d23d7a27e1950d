-- Shows the real client that a load balancer has written into a TCP option, TOA (TCP Option Address): on the packet
-- that has the option, and on all packets of its connection that follow it. Printed by toa-tc filter --wireshark-lua.
--
--   tshark -X lua_script:toa.lua -r capture.pcap -Y 'toa.client.address == "203.0.113.9"'
--
-- For Wireshark, put it into the folder of personal Lua plugins (Help, About Wireshark, Folders).

-- By kind and length: where the address and the port are, in bytes from the kind, and the version if one is required.
local LAYOUTS = {
-- LAYOUTS
}
local PICKS_LAST = false

local toa = Proto("toa", "TCP Option Address")
local fields = toa.fields
fields.address = ProtoField.string("toa.client.address", "Client address")
fields.ipv4 = ProtoField.ipv4("toa.client.ipv4", "Client IPv4 address")
fields.ipv6 = ProtoField.ipv6("toa.client.ipv6", "Client IPv6 address")
fields.port = ProtoField.uint16("toa.client.port", "Client port")
fields.kind = ProtoField.uint8("toa.kind", "Kind")
fields.length = ProtoField.uint8("toa.length", "Length")

local options_field = Field.new("tcp.options")
local stream_field = Field.new("tcp.stream")

-- By number of the connection: the frame of the first option, and what it says. Later packets have the same client.
local connections = {}

function toa.init()
  connections = {}
end

-- Returns the TOA of an option area as a range of bytes and its layout.
local function find(area)
  local at, found, found_layout = 0, nil, nil
  while at < area:len() do
    local kind = area(at, 1):uint()
    if kind == 0 then break end
    if kind == 1 then
      at = at + 1
    else
      if at + 2 > area:len() then break end
      local length = area(at + 1, 1):uint()
      if length < 2 or at + length > area:len() then break end
      local layout = LAYOUTS[kind .. ":" .. length]
      if layout and (not layout.version or area(at + 2, 1):uint() == layout.version) then
        if not found or PICKS_LAST then
          found, found_layout = area(at, length), layout
        end
      end
      at = at + length
    end
  end
  return found, found_layout
end

-- Returns the client that a TOA names.
local function decode(option, layout)
  local client = {}
  if layout.is_ipv6 then
    local range = option(layout.address, 16)
    if range(0, 12):bytes():tohex() == "00000000000000000000FFFF" then
      client.ipv4 = range(12, 4):ipv4()
    else
      client.ipv6 = range:ipv6()
    end
  else
    client.ipv4 = option(layout.address, 4):ipv4()
  end
  client.address = tostring(client.ipv4 or client.ipv6)
  if layout.port then client.port = option(layout.port, 2):uint() end
  return client
end

function toa.dissector(_, pinfo, tree)
  local stream = stream_field()
  if not stream then return end
  local options = options_field()
  local option, layout
  if options then option, layout = find(options.range) end
  local client
  if option then
    client = decode(option, layout)
    local known = connections[stream.value]
    if not known or pinfo.number <= known.frame then
      connections[stream.value] = { frame = pinfo.number, client = client }
    end
  else
    local known = connections[stream.value]
    if not known or pinfo.number < known.frame then return end
    client = known.client
  end

  local text = client.address
  if client.port then
    text = client.ipv6 and "[" .. text .. "]:" .. client.port or text .. ":" .. client.port
  end
  local branch = option and tree:add(toa, option) or tree:add(toa):set_generated()
  branch:append_text(", client " .. text)
  -- What another packet has said is generated.
  local function add(field, value)
    local item = branch:add(field, value)
    if not option then item:set_generated() end
  end
  add(fields.address, client.address)
  if client.ipv4 then add(fields.ipv4, client.ipv4) end
  if client.ipv6 then add(fields.ipv6, client.ipv6) end
  if client.port then add(fields.port, client.port) end
  if option then
    add(fields.kind, option(0, 1):uint())
    add(fields.length, option(1, 1):uint())
  end
end

register_postdissector(toa)
