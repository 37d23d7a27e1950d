//! Bodies, which contain what looks like a request, and the fields that delimit them.

use super::row::{PHANTOM, Part, Row, head, other, tail};

/// The length of [`PHANTOM`] in decimal digits.
const LENGTH: &[u8] = b"52";

/// Request line, fields of the framing, with `#` for the length of the body.
const LENGTHS: &[(&[u8], &[u8])] = &[
    (b"POST /a HTTP/1.1", b"Content-Length: #\r\n"),
    (b"GET /a HTTP/1.1", b"Content-Length: #\r\n"),
    (b"HEAD /a HTTP/1.1", b"Content-Length: #\r\n"),
    (b"DELETE /a HTTP/1.1", b"Content-Length: #\r\n"),
    (b"OPTIONS /a HTTP/1.1", b"Content-Length: #\r\n"),
    (b"POST /a HTTP/1.0", b"Content-Length: #\r\n"),
    (b"POST /a HTTP/1.0", b"Connection: keep-alive\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.2", b"Content-Length: #\r\n"),
    (b"POST /\xcb\xd1 HTTP/1.1", b"Content-Length: #\r\n"),
    (b"POST /a b HTTP/1.1", b"Content-Length: #\r\n"),
    (b"NOTIFY /a HTTP/1.1", b"Content-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"content-length:#\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: 000000000000000000000#\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length:  \t # \r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length:\r\n #\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #\r\n 0\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length : #\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length\t: #\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #\r\nContent-Length: 0\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #, #\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: +#\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: -#\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: 0x34\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #.0\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #a\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: 9223372036854775807\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: 18446744073709551615\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: 18446744073709551668\r\n"),
    (b"POST /a HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"Expect: 100-Continue, x\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"X-A: \0\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"X-A : a\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"no colon\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"X\xe4\xbd\xa0: a\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: #\r\n"),
    (b"POST /a HTTP/1.1", b"Content-Length: #\r\nTransfer-Encoding: identity\r\n"),
];

/// Request line, fields of the framing, and the beginning and end of the body around [`PHANTOM`].
type Chunked = (&'static [u8], &'static [u8], &'static [u8], &'static [u8]);

const POST: &[u8] = b"POST /a HTTP/1.1";
const CODING: &[u8] = b"Transfer-Encoding: chunked\r\n";

const CHUNKED: &[Chunked] = &[
    (POST, CODING, b"34\r\n", b"\r\n0\r\n\r\n"),
    (b"GET /a HTTP/1.1", CODING, b"34\r\n", b"\r\n0\r\n\r\n"),
    (b"PUT /\xff HTTP/1.1", CODING, b"34\r\n", b"\r\n0\r\n\r\n"),
    (b"POST /a HTTP/1.9", CODING, b"34\r\n", b"\r\n0\r\n\r\n"),
    (b"POST /a HTTP/1.0", CODING, b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"0034\r\n", b"\r\n000\r\n\r\n"),
    (POST, CODING, b"00000000000000000000000000000034\r\n", b"\r\n0000000000000000000000\r\n\r\n"),
    (POST, CODING, b"1\r\nx\r\n34\r\n", b"\r\n1\r\ny\r\n0\r\n\r\n"),
    (POST, CODING, b"34;a\r\n", b"\r\n0;b=c\r\n\r\n"),
    (POST, CODING, b"34;a=\"b;c\"\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"34 ;a\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"34;GET /x HTTP/1.1\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"34 \t\r\n", b"\r\n0 \r\n\r\n"),
    (POST, CODING, b"34\n", b"\n0\n\n"),
    (POST, CODING, b"34\r\n", b"\r\n0\r\nX-Trailer: 1\r\nAuthorization: none\r\n\r\n"),
    (POST, CODING, b"34\r\n", b"\r\n0\r\nGET /x HTTP/1.1\r\nHost: lab\r\n\r\n"),
    (POST, CODING, b" 34\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"0x34\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"+34\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"-1\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"g\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"34g\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b";a\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"34\r", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"33\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"34\r\n", b"0\r\n\r\n"),
    (POST, CODING, b"7fffffffffffffff\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"ffffffffffffffff\r\n", b"\r\n0\r\n\r\n"),
    (POST, CODING, b"10000000000000034\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: CHUNKED\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding:chunked \r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: gzip, chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: chunked, chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: identity\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: xchunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: \"chunked\"\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: \x0bchunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding:\r\n chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding : chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding:\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Transfer-Encoding: chunked\r\nContent-Length: 63\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (POST, b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", b"34\r\n", b"\r\n0\r\n\r\n"),
    (
        POST,
        b"Trailer: X-Trailer\r\nTransfer-Encoding: chunked\r\n",
        b"34\r\n",
        b"\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ),
];

fn begin(line: &[u8], framing: &[u8]) -> Part {
    let length = |byte: &u8| if *byte == b'#' { LENGTH.to_vec() } else { vec![*byte] };
    let framing: Vec<u8> = framing.iter().flat_map(length).collect();
    head(&[line, b"\r\nHost: lab\r\nX-Team: payments\r\n", &framing, b"\r\n"])
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (line, framing) in LENGTHS {
        let name = [*line, b" ", framing].concat();
        rows.push(Row::new("length", &name, [begin(line, framing), other(PHANTOM), tail()]));
    }
    for (line, framing, before, after) in CHUNKED {
        let name = [*line, b" ", framing, before, b" ... ", after].concat();
        let body = [*before, PHANTOM, after].concat();
        rows.push(Row::new("chunked", &name, [begin(line, framing), other(&body), tail()]));
    }
    // The body does not come: the connection ends in it.
    let parts = [begin(POST, b"Content-Length: 1000\r\n"), other(PHANTOM)];
    rows.push(Row::new("length", b"a body that is cut", parts));
    let parts = [begin(POST, CODING), other(b"1000\r\n"), other(PHANTOM)];
    rows.push(Row::new("chunked", b"a body that is cut", parts));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_body() {
        assert_eq!(PHANTOM.len().to_string().as_bytes(), LENGTH);
        assert_eq!(format!("{:x}", PHANTOM.len()), "34");
    }
}
