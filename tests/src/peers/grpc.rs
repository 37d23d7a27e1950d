//! A gRPC client and server, as gRPC's own library makes them: calls of every kind on one connection, several of them at
//! once, and what the server was asked.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::nginx::GRPC_PORT;
use crate::{
    lab::netns::Namespace,
    process::{Process, describe},
    wait,
};

/// Debian's Python, whose modules the set-up installs; PATH may have another one first.
const PYTHON: &str = "/usr/bin/python3";

/// A server that answers with what it was sent. It prints each call as a line of JSON: its method and its metadata.
const SERVER: &str = r#"
import json, sys
from concurrent import futures
import grpc

class Orders(grpc.GenericRpcHandler):
    def service(self, call):
        fields = [[name, value if isinstance(value, str) else value.hex()] for name, value in call.invocation_metadata]
        print(json.dumps([call.method, fields]), flush=True)
        kind = call.method.rsplit("/", 1)[1]
        if kind == "Upload":
            return grpc.stream_unary_rpc_method_handler(lambda messages, _: b"".join(messages))
        if kind == "List":
            return grpc.unary_stream_rpc_method_handler(lambda message, _: iter([message] * 3))
        if kind == "Chat":
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
        return grpc.unary_unary_rpc_method_handler(lambda message, _: message)

server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Orders()])
if server.add_insecure_port("0.0.0.0:" + sys.argv[1]) == 0:
    sys.exit("the port is taken")
server.start()
print("ready", flush=True)
server.wait_for_termination()
"#;

/// A client that makes the calls of [`CALLS_EACH`].
const CLIENT: &str = r#"
import sys
import grpc

target, team, certificate = sys.argv[1:]
options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "lab")]
if certificate:
    with open(certificate, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    channel = grpc.secure_channel(target, credentials, options)
else:
    channel = grpc.insecure_channel(target, options)
count = 0

def how():
    global count
    count += 1
    fields = (("x-team", team), ("x-request-id", "call-%d" % count), ("trace-bin", b"\x00\r\n\xff"), ("trace-bin", b"ab"))
    return {"metadata": fields, "timeout": 30}

get = channel.unary_unary("/lab.Orders/Get")
for _ in range(10):
    assert get(b"message", **how()) == b"message"
several = [get.future(b"x" * 3000, **how()) for _ in range(20)]
assert all(future.result() == b"x" * 3000 for future in several)
# Longer than a frame, a window, and what a request may look like.
parts = [b"GET /never HTTP/1.1\r\nhost: never\r\n\r\n" * 1000] * 10
for _ in range(5):
    assert channel.stream_unary("/lab.Orders/Upload")(iter(parts), **how()) == b"".join(parts)
assert list(channel.unary_stream("/lab.Orders/List")(b"3", **how())) == [b"3"] * 3
assert list(channel.stream_stream("/lab.Orders/Chat")(iter(parts), **how())) == parts
assert get(b"", **how()) == b""
channel.close()
"#;

/// The calls that a client makes.
pub const CALLS_EACH: usize = 10 + 20 + 5 + 1 + 1 + 1;

/// What identifies a call: the path, the team and the request id.
pub type Call = (String, String, String);

/// A running server.
#[derive(Debug)]
pub struct Orders {
    process: Process,
    directory: TempDir,
}

impl Orders {
    /// Starts the server on [`GRPC_PORT`], and waits until it accepts connections.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-grpc-").tempdir()?;
        let child = namespace
            .command(PYTHON)
            .args(["-c", SERVER, &GRPC_PORT.to_string()])
            .stdin(Stdio::null())
            .stdout(File::create(directory.path().join("stdout"))?)
            .stderr(File::create(directory.path().join("stderr"))?)
            .spawn()
            .context("starting python3")?;
        let mut server = Self { process: Process::new("the gRPC server", child), directory };
        wait::until("the gRPC server to listen", || {
            if let Some(status) = server.process.status()? {
                anyhow::bail!("the gRPC server ended with {}: {}", describe(status), server.read("stderr")?);
            }
            Ok(server.read("stdout")?.starts_with("ready\n").then_some(()))
        })?;
        Ok(server)
    }

    /// Returns the calls that were made so far.
    pub fn calls(&self) -> Result<Vec<Call>> {
        self.read("stdout")?.lines().skip(1).map(parse_call).collect()
    }

    fn read(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.directory.path().join(name))?)
    }
}

fn parse_call(line: &str) -> Result<Call> {
    let (method, fields): (String, Vec<(String, String)>) = serde_json::from_str::<Value>(line)
        .and_then(serde_json::from_value)
        .with_context(|| line.to_owned())?;
    let value = |wanted: &str| {
        let field = fields.iter().find(|(name, _)| name == wanted);
        field.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    ensure!(fields.iter().filter(|(name, _)| name == "trace-bin").count() == 2, "{line}");
    Ok((method, value("x-team"), value("x-request-id")))
}

/// Lets a client make [`CALLS_EACH`] calls on one connection: in TLS, if there is a server's certificate.
pub fn call(namespace: &Namespace, server: &str, team: &str, certificate: Option<&Path>) -> Result<()> {
    let certificate = certificate.map_or(Some(""), Path::to_str).context("a path that is no text")?;
    namespace.output(PYTHON, &["-c", CLIENT, server, team, certificate]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read() {
        let line =
            r#"["/a.B/C", [["x-team", "t"], ["trace-bin", "00"], ["trace-bin", ""], ["x-request-id", "1"]]]"#;
        assert_eq!(parse_call(line).unwrap(), ("/a.B/C".to_owned(), "t".to_owned(), "1".to_owned()));
        assert!(parse_call("ready").is_err());
    }
}
