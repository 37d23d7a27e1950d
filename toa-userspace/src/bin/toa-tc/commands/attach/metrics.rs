//! Serves metrics over HTTP, for Prometheus.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{SocketAddr, TcpListener as Bound},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use log::debug;
use toa_common::run_activity::RunActivity;
use toa_userspace::{
    live::{
        host::clock,
        maps::{counters::Counters, watch::Watch},
        program::{chain::Cost, own_cost::own_cost},
    },
    print::metrics::{self, CONTENT_TYPE, RunMetrics},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::existing::SharedFlows;
use crate::{format::unix_seconds, stderr};

/// How many clients are served at a time; others wait.
const MAX_CLIENTS: usize = 32;

/// How long a client may take to send its request, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How old metrics may be.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Pause after a failure to accept, such as for want of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Maximum size of a request's head.
const MAX_HEAD: usize = 8 << 10;

/// The socket for metrics.
pub(crate) struct MetricsSocket(Bound);

impl MetricsSocket {
    /// Opens the socket.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let open = || {
            let socket = Bound::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(Self(socket))
        };
        open().with_context(|| format!("cannot serve metrics on {address}"))
    }
}

/// What is served, except for what the run has found.
pub(crate) struct Metrics {
    socket: MetricsSocket,
    watch: Arc<Watch>,
    flows: Arc<SharedFlows>,
    started_ns: u64,
}

impl Metrics {
    pub(crate) fn new(socket: MetricsSocket, watch: Arc<Watch>, flows: Arc<SharedFlows>) -> Self {
        Self { socket, watch, flows, started_ns: clock::monotonic_ns() }
    }

    /// Returns the metrics as text.
    fn text(&self, counters: &Counters, activity: &RunActivity) -> Result<String> {
        let run = RunMetrics {
            labels: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: unix_seconds(self.started_ns),
            last_request: (activity.last_request_ns > 0).then(|| unix_seconds(activity.last_request_ns)),
            activity: *activity,
            counters: counters.read()?,
            rules: self.watch.count()?,
            followed: self.flows.open(),
            cost: own_cost().ok().flatten().map(|Cost { runs, run_time_ns }| (runs, run_time_ns)),
        };
        Ok(metrics::encode(vec![run])?)
    }
}

/// Serves metrics, if they are wanted. `activity` is what the run has found.
pub(super) async fn serve(
    metrics: Option<Metrics>,
    counters: &Counters,
    activity: &watch::Receiver<RunActivity>,
) -> Infallible {
    let Some(metrics) = metrics else {
        return pending().await;
    };
    let listener = match metrics.socket.0.try_clone().and_then(TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => {
            stderr::error(format_args!("cannot serve metrics: {error}"));
            return pending().await;
        }
    };
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut latest: Option<(Instant, Arc<Result<String>>)> = None;
    loop {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                debug!("metrics: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        // As of now: the request follows at once, or is given up. However many clients connect, it costs little.
        let text = match &latest {
            Some((since, text)) if since.elapsed() < MAX_AGE => Arc::clone(text),
            _ => Arc::new(metrics.text(counters, &activity.borrow())),
        };
        if latest.as_ref().is_none_or(|(_, latest)| !Arc::ptr_eq(latest, &text)) {
            latest = Some((Instant::now(), Arc::clone(&text)));
        }
        tokio::spawn(async move {
            let answered = timeout(PATIENCE, answer(client, &text)).await;
            if let Ok(Err(error)) = answered {
                debug!("metrics: {error}");
            }
            drop(place);
        });
    }
}

/// Reads a request, and answers it.
async fn answer(mut client: TcpStream, text: &Result<String>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || client.read_buf(&mut head).await? == 0 {
            return client.write_all(&response("400 Bad Request", "text/plain", "no request\n", true)).await;
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let has_body = method != b"HEAD";
    let response = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => match text {
            Ok(text) => response("200 OK", CONTENT_TYPE, text, has_body),
            Err(error) => {
                response("500 Internal Server Error", "text/plain", &format!("{error:#}\n"), has_body)
            }
        },
        (b"GET" | b"HEAD", _) => response("404 Not Found", "text/plain", "see /metrics\n", has_body),
        _ => response("405 Method Not Allowed", "text/plain", "only GET\n", true),
    };
    client.write_all(&response).await?;
    client.shutdown().await?;
    // Closing with unread bytes would reset the connection before the response is read.
    let mut rest = [0; 512];
    while client.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Returns a response, after which the connection is closed.
fn response(status: &str, content_type: &str, body: &str, has_body: bool) -> Vec<u8> {
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    [head.as_bytes(), if has_body { body.as_bytes() } else { b"" }].concat()
}
