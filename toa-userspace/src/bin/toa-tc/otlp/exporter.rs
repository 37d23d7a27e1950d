//! The thread that sends requests, by the rules of OTLP over HTTP.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::{
    fmt,
    net::SocketAddr,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use toa_userspace::{
    live::host::{clock, interfaces, sandbox},
    print::{count::plural, escape::Escaped, otlp},
};
use ureq::{
    Agent,
    http::{StatusCode, header},
};

use super::{endpoint::Endpoint, queue::Queue};
use crate::stderr;

/// How long each part of an attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before the second attempt. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait, also if the receiver asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often to send the same requests.
const ATTEMPTS: usize = 6;

/// How long the end of a run waits.
const END: Duration = Duration::from_secs(5);

/// The interval at which requests are reported that were not sent.
const INTERVAL: Duration = Duration::from_secs(10);

/// Most bytes that are read of a response.
const MAX_RESPONSE: u64 = 64 << 10;

/// What the rest of the program knows about the thread.
#[derive(Debug)]
pub(crate) struct Exporter {
    queue: Queue,
    endpoint: Endpoint,
}

impl Exporter {
    /// Starts the thread. Names are looked up now, because a run reads no files later, and the thread stays in the network
    /// namespace of this one.
    pub(crate) fn start(endpoint: &Endpoint) -> Result<Self> {
        let endpoint = endpoint.clone();
        let addresses =
            endpoint.addresses().with_context(|| format!("cannot find the host of {endpoint}"))?;
        let queue = Queue::default();
        let mut sender = Sender::new(queue.clone(), endpoint.clone(), addresses);
        let port = endpoint.port();
        let send = move || {
            sandbox::enter_sender(port);
            sender.run();
        };
        thread::Builder::new().name("otlp".to_owned()).spawn(send).context("cannot start a thread")?;
        Ok(Self { queue, endpoint })
    }

    /// Returns the queue, for lines of JSON with a request each.
    pub(crate) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Sends the rest, and reports how many requests were sent.
    pub(crate) fn finish(self) {
        let Self { queue, endpoint } = self;
        let counts = queue.finish(END);
        let sent = plural(counts.sent, "request");
        match counts.missing() {
            0 => stderr::note(format_args!("{sent} sent to {endpoint}")),
            missing => {
                stderr::warning(format_args!(
                    "{sent} sent to {endpoint}, {} not sent",
                    plural(missing, "request")
                ));
            }
        }
    }
}

/// The thread.
struct Sender {
    queue: Queue,
    endpoint: Endpoint,
    agent: Agent,
    /// The addresses of the receiver, in the order in which to try them.
    addresses: Vec<SocketAddr>,
    host_name: String,
    /// Whether the last attempt has failed.
    is_failing: bool,
    /// How many requests were reported as not sent.
    reported: u64,
    report: Instant,
}

/// Why an attempt has failed.
struct Failure {
    text: String,
    /// Whether another one may succeed.
    is_transient: bool,
    /// How long the receiver asks to wait.
    pause: Option<Duration>,
}

impl Sender {
    fn new(queue: Queue, endpoint: Endpoint, addresses: Vec<SocketAddr>) -> Self {
        // No timeout for all of an attempt: ureq would start a thread to look up the address that the URL has.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(PATIENCE))
            .timeout_send_request(Some(PATIENCE))
            .timeout_send_body(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(PATIENCE))
            .user_agent(concat!("toa-tc/", env!("CARGO_PKG_VERSION")));
        Self {
            queue,
            endpoint,
            agent: config.build().into(),
            addresses,
            host_name: interfaces::name(),
            is_failing: false,
            reported: 0,
            report: Instant::now(),
        }
    }

    fn run(&mut self) {
        while let Some(lines) = self.queue.take() {
            let (body, count) = otlp::export(&lines, &self.host_name, clock::unix_ns());
            let rejected = self.send(&body).unwrap_or(u64::MAX).min(count as u64);
            self.queue.add(count as u64 - rejected, rejected);
            self.report();
        }
    }

    /// Sends an export, several times if necessary. Returns how many of its records were rejected, or `None` if none
    /// arrived.
    fn send(&mut self, body: &[u8]) -> Option<u64> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let Failure { text, is_transient, pause: asked } = match self.attempt(body) {
                Ok(response) => {
                    self.is_failing = false;
                    let Some((count, reason)) = otlp::rejected(&response) else { return Some(0) };
                    stderr::warning(format_args!(
                        "{} rejected {}: {}",
                        self.endpoint,
                        plural(count, "request"),
                        Escaped(reason.as_bytes())
                    ));
                    return Some(count);
                }
                Err(failure) => failure,
            };
            if !self.is_failing {
                stderr::warning(format_args!("cannot send requests to {}: {text}", self.endpoint));
            }
            self.is_failing = true;
            let wait = asked.unwrap_or_else(|| jittered(pause)).min(LONGEST_PAUSE);
            if !is_transient || attempt == ATTEMPTS || !self.queue.pause(wait) {
                break;
            }
            pause *= 2;
        }
        None
    }

    /// Sends an export once, and returns the body of the response.
    fn attempt(&mut self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let failed =
            |text: &dyn fmt::Display| Failure { text: text.to_string(), is_transient: true, pause: None };
        let address = self.addresses.first().copied().ok_or_else(|| failed(&"no address"))?;
        let request = self
            .agent
            .post(self.endpoint.at(address))
            .header(header::HOST, self.endpoint.authority())
            .content_type("application/x-protobuf");
        let patience = Some(self.queue.patience(PATIENCE));
        let request = request.config().timeout_connect(patience).timeout_recv_response(patience).build();
        let mut response = request.send(body).map_err(|error| {
            // Another address of the same name may answer.
            self.addresses.rotate_left(1);
            failed(&error)
        })?;
        let status = response.status();
        let asked = response.headers().get(header::RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let answer = response.body_mut().with_config().limit(MAX_RESPONSE).read_to_vec();
        if status.is_success() {
            // What cannot be read has no count of rejected records.
            return Ok(answer.unwrap_or_default());
        }
        Err(Failure { text: status.to_string(), is_transient: is_transient(status), pause: asked })
    }

    /// Reports after each interval how many requests were not sent in it.
    fn report(&mut self) {
        let seconds = self.report.elapsed().as_secs();
        if seconds < INTERVAL.as_secs() {
            return;
        }
        let counts = self.queue.counts();
        let lost = counts.dropped + counts.failed;
        if lost > self.reported {
            let requests = plural(lost - self.reported, "request");
            stderr::warning(format_args!("{requests} not sent to {} in {seconds} s", self.endpoint));
        }
        (self.reported, self.report) = (lost, Instant::now());
    }
}

/// Returns whether the same request may succeed later, according to OTLP.
fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Returns between half and all of a pause, so that senders which fail together do not return together.
fn jittered(pause: Duration) -> Duration {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    pause / 2 + pause.mul_f64(f64::from(nanoseconds % 1000) / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_at_least_half_of_itself() {
        let pause = jittered(FIRST_PAUSE);
        assert!((FIRST_PAUSE / 2..=FIRST_PAUSE).contains(&pause), "{pause:?}");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for code in [429, 502, 503, 504] {
            assert!(is_transient(StatusCode::from_u16(code).unwrap()), "{code}");
        }
        for code in [301, 400, 401, 404, 413, 500, 501] {
            assert!(!is_transient(StatusCode::from_u16(code).unwrap()), "{code}");
        }
    }
}
