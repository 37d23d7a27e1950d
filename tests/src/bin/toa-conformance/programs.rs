//! The programs that send requests to nginx, each with other parts of HTTP/1.

use std::{
    fs,
    io::{Read as _, Write as _},
};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, nginx_address},
    peers::client::Request,
};

/// A program, and the minimum number of requests that it must make.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) least: usize,
    pub(crate) run: fn(&mut Lab) -> Result<()>,
}

/// All programs.
pub(crate) const ALL: [Program; 8] = [
    Program { name: "curl: methods, keep-alive, HTTP/1.0", least: 14, run: curl_methods },
    Program { name: "curl: bodies by length and in chunks, 100-continue", least: 9, run: curl_bodies },
    Program { name: "curl: through a proxy (absolute form, CONNECT)", least: 4, run: curl_proxy },
    Program { name: "curl: upgrades that are asked for", least: 4, run: curl_upgrades },
    Program { name: "a client: pipelined, with bodies that look like requests", least: 600, run: pipelined },
    Program {
        name: "a client: chunks, trailers, single bytes, two heads in three segments",
        least: 24,
        run: segments,
    },
    Program { name: "wrk: pipelined", least: 1000, run: wrk },
    Program { name: "openssl s_client and curl: TLS to a port without", least: 1, run: tls },
];

fn url(path: &str) -> String {
    format!("http://{}{path}", nginx_address())
}

/// Runs curl, which must get answers.
fn curl(lab: &Lab, arguments: &[&str], urls: &[String]) -> Result<()> {
    let mut all = vec!["-s", "-S", "-o", "/dev/null", "--max-time", "20", "--noproxy", "x"];
    all.extend(arguments);
    for (at, url) in urls.iter().enumerate() {
        if at > 0 {
            all.extend(["-o", "/dev/null"]);
        }
        all.push(url);
    }
    lab.balancer.namespace.output("curl", &all).map(drop)
}

fn curl_methods(lab: &mut Lab) -> Result<()> {
    let many: Vec<String> = (0..8).map(|number| url(&format!("/many/{number}?a=b&c=d%20e;f"))).collect();
    curl(lab, &[], &many)?;
    curl(lab, &["-0"], &[url("/old")])?;
    curl(lab, &["-I"], &[url("/head")])?;
    curl(lab, &["-X", "DELETE"], &[url("/delete")])?;
    curl(lab, &["-X", "OPTIONS", "--request-target", "*"], &[url("/")])?;
    curl(lab, &["-X", "PROPFIND", "-H", "Depth: 1"], &[url("/dav/")])?;
    curl(lab, &["-H", "Host: other.example", "-H", "Cookie: a=b", "-u", "me:secret"], &[url("/host")])
}

fn curl_bodies(lab: &mut Lab) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("toa-conformance-").tempdir()?;
    let file = directory.path().join("body");
    // The body consists of requests, which must not be reported.
    fs::write(&file, b"GET /never HTTP/1.1\r\nhost: never\r\n\r\n".repeat(3000))?;
    let body = format!("@{}", file.display());
    let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", &body];
    curl(lab, &["--data-binary", &body], &[url("/length/1"), url("/length/2")])?;
    curl(lab, &chunked, &[url("/chunks/1"), url("/chunks/2")])?;
    curl(
        lab,
        &["-H", "Expect: 100-continue", "--data-binary", &body],
        &[url("/continue/1"), url("/continue/2")],
    )?;
    curl(lab, &[&["-H", "Expect: 100-continue"], &chunked[..]].concat(), &[url("/continue/chunks")])?;
    curl(lab, &["-d", "a=b", "-H", "Expect:"], &[url("/form")])?;
    curl(lab, &["-F", &format!("file={body}")], &[url("/multipart")])
}

fn curl_proxy(lab: &mut Lab) -> Result<()> {
    let proxy = url("");
    let mut arguments = vec!["-x", proxy.as_str(), "--noproxy", ""];
    curl(
        lab,
        &arguments,
        &["http://api.example/absolute?x=1".to_owned(), "http://api.example:8080/".to_owned()],
    )?;
    curl(lab, &[&arguments[..], &["-d", "a=b"]].concat(), &["http://api.example/form".to_owned()])?;
    // nginx does not build tunnels: curl fails, but its request was sent.
    arguments.push("-p");
    let tunnel = curl(lab, &arguments, &["http://tunnel.example:443/".to_owned()]);
    ensure!(tunnel.is_err(), "nginx has built a tunnel");
    Ok(())
}

fn curl_upgrades(lab: &mut Lab) -> Result<()> {
    curl(lab, &["--http2"], &[url("/h2c/1"), url("/h2c/2")])?;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let version = "Sec-WebSocket-Version: 13";
    let arguments = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", key, "-H", version];
    // nginx answers 200, so both sides continue with HTTP/1.
    curl(lab, &arguments, &[url("/socket/1"), url("/socket/2")])
}

fn pipelined(lab: &mut Lab) -> Result<()> {
    for connection in 0..20_u16 {
        // Half of them are marked as a balancer would.
        let client = connection.is_multiple_of(2).then(|| ([203, 0, 113, 9], 1000 + connection).into());
        let mut client = lab.connect(client)?;
        for round in 0..3 {
            let request = |number: usize| {
                let target = format!("/{connection}/{round}/{number}");
                let request = if number.is_multiple_of(3) {
                    Request::post(&target, number * 500)
                } else {
                    Request::get(&target)
                };
                request.field("x-number", &number.to_string())
            };
            client.pipeline((0..10).map(request).collect())?;
        }
    }
    Ok(())
}

fn segments(lab: &mut Lab) -> Result<()> {
    for size in [1, 2, 7, 100] {
        let mut client = lab.connect(None)?;
        for number in 0..5 {
            client
                .ask_in_pieces(Request::get(&format!("/pieces/{size}/{number}")).field("x-a", "b"), size)?;
        }
    }
    let chunks =
        "3\r\nabc\r\n1e;name=value\r\nGET /never HTTP/1.1\r\nhost: a\r\n\r\n0\r\nx-trailer: y\r\n\r\n";
    let chunked = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    let last = "GET /last HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";
    let all = [
        &chunked("/trailer/1"),
        &chunked("/trailer/2"),
        "\r\nGET /between HTTP/1.1\r\nHost: lab\r\n\r\n",
        last,
    ]
    .concat();
    let mut client = lab.connect(None)?;
    let third = all.len() / 3;
    for piece in all.as_bytes().chunks(third + 1) {
        client.stream().write_all(piece)?;
    }
    let mut answers = Vec::new();
    client.stream().read_to_end(&mut answers)?;
    let answers = String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count();
    ensure!(answers == 4, "{answers} answers");
    Ok(())
}

/// Sends eight requests at a time with a pause in between: a few thousand per second.
const SCRIPT: &str = r#"
local count = 0
function delay() return 20 end
function request()
    local all = {}
    for i = 1, 8 do
        count = count + 1
        all[i] = string.format("GET /wrk/%d HTTP/1.1\r\nHost: lab\r\n\r\n", count)
    end
    return table.concat(all)
end
"#;

fn wrk(lab: &mut Lab) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("toa-conformance-").tempdir()?;
    let script = directory.path().join("pipeline.lua");
    fs::write(&script, SCRIPT)?;
    let script = script.to_str().context("a path that is no text")?;
    let arguments = ["-t1", "-c6", "-d1s", "-s", script, &url("/")];
    lab.balancer.namespace.output("wrk", &arguments).map(drop)
}

fn tls(lab: &mut Lab) -> Result<()> {
    let address = nginx_address().to_string();
    let arguments = ["s_client", "-connect", &address, "-servername", "api.example", "-alpn", "h2,http/1.1"];
    // nginx answers in plain text, so both fail.
    let client = lab.balancer.namespace.output("openssl", &arguments);
    ensure!(client.is_err(), "nginx has spoken TLS");
    ensure!(curl(lab, &["-k"], &[format!("https://{address}/never")]).is_err(), "nginx has spoken TLS");
    curl(lab, &[], &[url("/after")])
}
