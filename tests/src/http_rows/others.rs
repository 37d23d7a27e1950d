//! First bytes of other protocols.

use super::row::{FIELDS, PHANTOM, Row, head, other, tail};

const PROTOCOLS: &[(&str, &[u8])] = &[
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ("TLS", b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03abcdefghijklmnopqrstuvwxyz012345\x00\x00\x02\x13\x01\x01\x00"),
    ("TLS, cut", b"\x16\x03\x01"),
    ("SSLv2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10abcdefghijklmnopqrstuvwxyz"),
    ("redis", b"*1\r\n$4\r\nPING\r\n"),
    ("redis, inline", b"PING\r\n"),
    ("redis, AUTH", b"AUTH word\r\nGET key\r\n"),
    ("memcached", b"get key\r\n"),
    ("memcached, binary", b"\x80\x00\x00\x03\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0key"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("MySQL", b"\x55\0\0\x01\x85\xa6\xff\x01\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0root\0\0"),
    ("PostgreSQL", b"\0\0\0\x08\x04\xd2\x16\x2f"),
    ("PostgreSQL, start", b"\0\0\0\x13\0\x03\0\0user\0me\0\0"),
    ("MongoDB", b"\x10\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0"),
    ("SMTP", b"EHLO mail.example\r\nMAIL FROM:<a@example>\r\n"),
    ("FTP", b"USER anonymous\r\n"),
    ("POP3", b"STAT\r\n"),
    ("IMAP", b"a1 CAPABILITY\r\n"),
    ("IRC", b"NICK a\r\nUSER a 0 * :a\r\n"),
    ("SIP", b"OPTIONS sip:a@example SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n\r\n"),
    ("RTSP", b"DESCRIBE rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    ("ICAP", b"OPTIONS icap://a/b ICAP/1.0\r\nHost: a\r\n\r\n"),
    ("MQTT", b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id"),
    ("AMQP", b"AMQP\0\0\x09\x01"),
    ("STOMP", b"CONNECT\naccept-version:1.2\nhost:a\n\n\0"),
    ("NATS", b"CONNECT {\"verbose\":false}\r\nPING\r\n"),
    ("Kafka", b"\0\0\0\x14\0\x12\0\x03\0\0\0\x01\0\x04test\0\0\0\0"),
    ("ZooKeeper", b"ruok"),
    ("Thrift", b"\0\0\0\x1c\x80\x01\0\x01\0\0\0\x04ping\0\0\0\0\0"),
    ("Dubbo", b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01\0\0\0\x02ab"),
    ("FastCGI", b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"),
    ("AJP", b"\x12\x34\0\x01\x0a"),
    ("SOCKS 4", b"\x04\x01\0\x50\x0a\x09\0\x02\0"),
    ("SOCKS 5", b"\x05\x01\0"),
    ("LDAP", b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0"),
    ("RDP", b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"),
    ("SMB", b"\0\0\0\x08\xffSMB\x72\0\0\0"),
    ("BitTorrent", b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0"),
    ("rsync", b"@RSYNCD: 31.0\n"),
    ("git", b"003egit-upload-pack /a.git\0host=lab\0"),
    ("Gopher", b"/a\r\n"),
    ("Gemini", b"gemini://lab/a\r\n"),
    ("XMPP", b"<?xml version='1.0'?><stream:stream to='a' xmlns='jabber:client'>"),
    ("JSON", b"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1}\n"),
    ("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("zeros", &[0; 100]),
    ("0xff", &[0xff; 100]),
    ("one zero", b"\0"),
    ("one letter", b"x"),
    ("a long word", &[b'A'; 3000]),
    ("text", b"hello, world\r\nhow are you\r\n"),
];

const PROXIES: &[(&str, &[u8])] = &[
    ("PROXY v1", b"PROXY TCP4 192.0.2.1 10.9.0.2 1000 80\r\n"),
    ("PROXY v1, IPv6", b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 80\r\n"),
    ("PROXY v1, unknown", b"PROXY UNKNOWN\r\n"),
    ("PROXY v1, broken", b"PROXY TCP9 x\r\n"),
    ("PROXY v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\x09\0\x02\x03\xe8\0\x50"),
    ("PROXY v2, local", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
    ("PROXY v2, broken", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xc0\0\x02\x01\x0a\x09\0\x02\x03\xe8\0\x50"),
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, bytes) in PROTOCOLS {
        rows.push(Row::new("other", name.as_bytes(), [head(&[bytes])]));
    }
    // A request of another protocol's content is none.
    for (name, bytes) in PROTOCOLS.iter().filter(|(_, bytes)| bytes.ends_with(b"\n")) {
        let name = format!("{name}, then a request");
        rows.push(Row::new("other", name.as_bytes(), [head(&[bytes]), head(&[PHANTOM])]));
    }
    for (name, bytes) in PROXIES {
        let parts = [other(bytes), head(&[b"GET /a HTTP/1.1\r\n", FIELDS]), tail()];
        rows.push(Row::new("other", name.as_bytes(), parts));
    }
    rows
}
