//! A receiver of OpenTelemetry's log records, over HTTP.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
};
use prost::Message as _;

use crate::lab::netns::Namespace;

/// How it answers an export.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Takes it, but for this many of its records.
    Rejects(i64),
    /// Refuses it with this status, and may ask to wait for this many seconds.
    Status(u16, Option<u64>),
}

/// What was received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// When exports came, including those that were refused.
    pub exports: Vec<Instant>,
    /// The records of exports that were taken.
    pub records: Vec<LogRecord>,
    /// The attributes of their resources.
    pub resources: Vec<Vec<KeyValue>>,
    /// What was wrong with a request.
    pub errors: Vec<String>,
}

/// The receiver.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// Starts it in a namespace. `answer` returns the answer to the export with this number, from 0.
    pub fn start(
        namespace: &Namespace,
        mut answer: impl FnMut(usize) -> Answer + Send + 'static,
    ) -> Result<Self> {
        let listener = namespace.run(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))?;
        let collector = Self { address: listener.local_addr()?, received: Arc::default() };
        let here = collector.clone();
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Err(error) = here.serve(&stream, &mut answer) {
                    here.update(|received| received.errors.push(format!("{error:#}")));
                }
            }
        });
        Ok(collector)
    }

    /// Returns the URL to send to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what was received so far.
    pub fn received(&self) -> Received {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update<T>(&self, update: impl FnOnce(&mut Received) -> T) -> T {
        update(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn serve(&self, stream: &TcpStream, answer: &mut impl FnMut(usize) -> Answer) -> Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if reader.read_until(b'\n', &mut head)? == 0 {
                    ensure!(head.is_empty(), "half a request");
                    return Ok(());
                }
            }
            let head = String::from_utf8(head)?.to_ascii_lowercase();
            ensure!(head.starts_with("post /v1/logs http/1.1\r\n"), "{head}");
            ensure!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
            ensure!(head.contains(&format!("\r\nhost: {}\r\n", self.address)), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.context("no length")?.parse()?];
            reader.read_exact(&mut body)?;
            let export = ExportLogsServiceRequest::decode(&body[..])?;
            let number = self.update(|received| {
                received.exports.push(Instant::now());
                received.exports.len() - 1
            });
            let response = match answer(number) {
                Answer::Rejects(rejected_log_records) => {
                    self.update(|received| received.take(export));
                    let error_message = "too many".to_owned();
                    let rejected = ExportLogsPartialSuccess { rejected_log_records, error_message };
                    let partial_success = (rejected_log_records > 0).then_some(rejected);
                    let body = ExportLogsServiceResponse { partial_success }.encode_to_vec();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    [head.into_bytes(), body].concat()
                }
                Answer::Status(status, wait) => {
                    let wait = wait.map(|wait| format!("Retry-After: {wait}\r\n")).unwrap_or_default();
                    format!("HTTP/1.1 {status} No\r\n{wait}Content-Length: 0\r\n\r\n").into_bytes()
                }
            };
            let mut stream = stream;
            stream.write_all(&response)?;
        }
    }
}

impl Received {
    fn take(&mut self, export: ExportLogsServiceRequest) {
        for logs in export.resource_logs {
            self.resources.extend(logs.resource.map(|resource| resource.attributes));
            self.records.extend(logs.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
    }
}

/// Returns the text, the number or the first text of an attribute.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|it| it.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::ArrayValue(array) => match array.values.first()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
