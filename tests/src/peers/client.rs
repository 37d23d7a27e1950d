//! HTTP/1.1 connections whose bytes and ports the test chooses, and which remember what they sent.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Socket, Type};

use super::answers::Answers;
use crate::lab::netns::Namespace;

/// Timeout of an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// `GET` or another method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The header fields in order, without `host` and `content-length`.
    pub fields: Vec<(String, String)>,
    /// Bytes of the body, all of them `x`.
    pub body: usize,
    /// Bytes of a chunk, if the body is sent in chunks.
    pub chunk: Option<usize>,
}

impl Request {
    /// Creates a `GET` of `target`.
    pub fn get(target: &str) -> Self {
        Self { method: "GET".to_owned(), target: target.to_owned(), fields: Vec::new(), body: 0, chunk: None }
    }

    /// Creates a `POST` of this many bytes to `target`.
    pub fn post(target: &str, body: usize) -> Self {
        Self { method: "POST".to_owned(), body, ..Self::get(target) }
    }

    /// Appends a header field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the body in chunks of this many bytes.
    #[must_use]
    pub fn in_chunks(mut self, bytes: usize) -> Self {
        self.chunk = Some(bytes);
        self
    }

    /// Returns the value of a header field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns the bytes before the body.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: lab\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if self.chunk.is_some() {
            head.push_str("transfer-encoding: chunked\r\n");
        } else if self.body > 0 {
            head.extend(["content-length: ", &self.body.to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Returns all its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        match self.chunk {
            Some(len) => {
                for chunk in vec![b'x'; self.body].chunks(len) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            None => bytes.resize(bytes.len() + self.body, b'x'),
        }
        bytes
    }
}

/// A socket that is bound but not connected.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    local: SocketAddr,
}

impl Bound {
    /// Binds a socket in `namespace` to `local`, or to any port if its port is 0.
    pub fn new(namespace: &Namespace, local: SocketAddr) -> Result<Self> {
        namespace.run(|| {
            let socket = Socket::new(Domain::for_address(local), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&local.into()).with_context(|| format!("binding {local}"))?;
            let local = socket.local_addr()?.as_socket().context("no internet socket")?;
            Ok(Self { socket, local })
        })
    }

    /// Returns its address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Connects to `server`.
    pub fn connect(self, server: SocketAddr) -> Result<Connection> {
        self.socket.connect(&server.into()).with_context(|| format!("connecting to {server}"))?;
        let stream = TcpStream::from(self.socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(Connection {
            stream,
            local: self.local,
            server,
            sent: Vec::new(),
            rest: Vec::new(),
            answers: Answers::default(),
        })
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    server: SocketAddr,
    sent: Vec<Request>,
    /// The unsent rest of a request.
    rest: Vec<u8>,
    answers: Answers,
}

impl Connection {
    /// Returns its local address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns the server's address and port.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Returns the stream, for bytes that are not a request.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Returns the requests sent, in order.
    pub fn sent(&self) -> &[Request] {
        &self.sent
    }

    /// Returns the bytes of heads and bodies sent.
    pub fn sent_bytes(&self) -> usize {
        self.sent.iter().map(|request| request.bytes().len()).sum()
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: Request) -> Result<()> {
        self.pipeline(vec![request])
    }

    /// Sends the first `len` bytes of a request and waits until the server has them.
    pub fn begin(&mut self, request: Request, len: usize) -> Result<()> {
        let mut bytes = request.bytes();
        let rest = bytes.split_off(len.min(bytes.len()));
        self.stream.write_all(&bytes)?;
        self.sent.push(request);
        self.rest = rest;
        self.wait_for_acknowledgment()
    }

    /// Sends the rest of that request and reads its answer.
    pub fn finish(&mut self) -> Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.rest))?;
        self.read_answers(self.sent.len())
    }

    /// Sends requests in one piece and reads their answers.
    pub fn pipeline(&mut self, requests: Vec<Request>) -> Result<()> {
        let bytes = requests.iter().map(Request::bytes).collect::<Vec<_>>().concat();
        self.stream.write_all(&bytes)?;
        self.sent.extend(requests);
        self.read_answers(self.sent.len())
    }

    /// Sends a request's head in pieces of `size` bytes, each in its own segment, and reads the answer. Each
    /// piece is sent after the previous one is acknowledged, or both might be sent as one. This is slow if
    /// the server delays acknowledgments.
    pub fn ask_in_pieces(&mut self, request: Request, size: usize) -> Result<()> {
        for piece in request.head().chunks(size) {
            self.stream.write_all(piece)?;
            self.wait_for_acknowledgment()?;
        }
        self.sent.push(request);
        self.read_answers(self.sent.len())
    }

    /// Waits until the server has everything, so that further bytes go into other packets.
    pub fn wait_for_acknowledgment(&self) -> Result<()> {
        let deadline = Instant::now() + ANSWER;
        while self.unacknowledged()? > 0 {
            ensure!(Instant::now() < deadline, "no acknowledgment");
            thread::yield_now();
        }
        Ok(())
    }

    fn unacknowledged(&self) -> Result<libc::c_int> {
        let mut bytes = 0;
        // SAFETY: the request writes an integer to the pointer, which refers to one.
        let result = unsafe { libc::ioctl(self.stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        ensure!(result == 0, "TIOCOUTQ: {}", std::io::Error::last_os_error());
        Ok(bytes)
    }

    /// Reads until the connection has had `count` answers.
    pub fn read_answers(&mut self, count: usize) -> Result<()> {
        let answered = self.answers.read(&mut self.stream, count);
        answered.with_context(|| format!("a request of {}", self.local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_request_line_and_its_fields() {
        let request = Request::get("/a?b=1").field("x-team", "payments");
        assert_eq!(request.head(), b"GET /a?b=1 HTTP/1.1\r\nhost: lab\r\nx-team: payments\r\n\r\n");
        assert_eq!(request.value("x-team"), Some("payments"));
        let post = Request::post("/", 10);
        assert_eq!(post.head(), b"POST / HTTP/1.1\r\nhost: lab\r\ncontent-length: 10\r\n\r\n");
    }
}
