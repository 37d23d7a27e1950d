//! Responsible for load at full rate. Not responsible for marking its connections.
//!
//! Before the end every connection is let to finish its request and sends no further one: else some requests
//! would reach the server's device and be cut off before nginx reads them, and nobody could say which.

use std::{fs, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::lab::netns::Namespace;

/// What wrk is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections, which are kept alive.
    pub connections: u32,
    /// How long they ask.
    pub duration: Duration,
}

/// What wrk did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Requests that were answered.
    pub requests: u64,
    /// The same per second.
    pub rate: f64,
}

/// Connections that wrk opens before the others, one after another, to see whether the server is there.
pub const PROBES: u32 = 1;

/// Every request has an id of its own, and all are of one size. Time is read from the monotonic clock.
const SCRIPT: &str = r#"
local ffi = require("ffi")
ffi.cdef[[
    typedef struct { long seconds; long nanoseconds; } moment;
    int clock_gettime(int clock, moment *now);
]]
local now = ffi.new("moment")
local function seconds()
    ffi.C.clock_gettime(1, now)
    return tonumber(now.seconds) + tonumber(now.nanoseconds) / 1e9
end
local threads = 0
function setup(thread)
    thread:set("number", threads)
    threads = threads + 1
end
function init(arguments)
    count = 0
    last = seconds() + tonumber(arguments[1])
end
function delay()
    if seconds() < last then return 0 end
    return 3600000
end
function request()
    count = count + 1
    return string.format(
        "GET /wrk HTTP/1.1\r\nhost: lab\r\nx-team: wrk\r\nx-request-id: %02d-%010d\r\n\r\n", number, count)
end
"#;

/// Runs wrk in a namespace against a server.
pub fn run(namespace: &Namespace, server: SocketAddr, load: Load) -> Result<Report> {
    let directory = tempfile::Builder::new().prefix("toa-wrk-").tempdir()?;
    let script = directory.path().join("load.lua");
    fs::write(&script, SCRIPT)?;
    let script = script.to_str().context("a path that is no text")?;
    let connections = load.connections.to_string();
    let asked = load.duration.as_secs_f64();
    // Two seconds to finish what was begun.
    let duration = format!("{}s", load.duration.as_secs() + 2);
    let url = format!("http://{server}/");
    let report = namespace.output(
        "wrk",
        &[
            "-t2",
            "-c",
            &connections,
            "-d",
            &duration,
            "--timeout",
            "60s",
            "-s",
            script,
            &url,
            "--",
            &asked.to_string(),
        ],
    )?;
    ensure!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "wrk: {report}");
    let requests = requests(&report).with_context(|| format!("wrk: {report}"))?;
    #[expect(clippy::cast_precision_loss, reason = "a rate is for people")]
    let rate = requests as f64 / asked;
    Ok(Report { requests, rate })
}

/// The number in `N requests in …`.
fn requests(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_requests_is_read() {
        let report = "  Latency  1ms\n  837241 requests in 10.10s, 131MB read\nRequests/sec: 82900.1\n";
        assert_eq!(requests(report), Some(837_241));
        assert_eq!(requests(""), None);
    }
}
