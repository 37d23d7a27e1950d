//! Responsible for a real nginx in a namespace, and for reading its access log. Not responsible for who asks.

use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    netns::Namespace,
    process::{Process, Signal, describe},
    ready,
};

/// The port it listens on, IPv4 and IPv6.
pub const PORT: u16 = 80;

/// A running nginx that answers every request with 200 and a short body.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    directory: TempDir,
}

/// A line of the access log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logged {
    /// Who asked, as nginx sees it: the balancer.
    pub peer: SocketAddr,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the request: head and body.
    pub request_length: u64,
    /// The header `x-request-id`.
    pub request_id: String,
    /// The header `x-team`.
    pub team: String,
    /// The start line.
    pub request: String,
}

impl Nginx {
    /// Starts it and waits until it accepts connections.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-nginx-").tempdir()?;
        let path = directory.path();
        fs::write(path.join("nginx.conf"), configuration(path))?;
        let errors = path.join("error.log");
        let child = namespace
            .command("nginx")
            .arg("-p")
            .arg(path)
            .args(["-c", "nginx.conf", "-e"])
            .arg(&errors)
            .stdin(Stdio::null())
            .stderr(File::create(path.join("stderr"))?)
            .spawn()
            .context("starting nginx")?;
        let mut process = Process::new("nginx", child);
        ready::wait("nginx to accept connections", || {
            if let Some(status) = process.status()? {
                let said = fs::read_to_string(&errors).unwrap_or_default();
                anyhow::bail!("nginx ended with {}: {said}", describe(status));
            }
            Ok(namespace.run(|| Ok(TcpStream::connect(("127.0.0.1", PORT))?)).ok())
        })?;
        Ok(Self { process, directory })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far. It writes its log down once a second.
    pub fn log(&self) -> Result<Vec<Logged>> {
        let log = fs::read_to_string(self.directory.path().join("access.log"))?;
        // Whole lines only: it may be writing the last one.
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        parse_log(log.get(..whole).unwrap_or_default())
    }

    /// Lets it answer what it has begun and end, and returns its access log.
    pub fn stop(mut self) -> Result<Vec<Logged>> {
        let status: ExitStatus = self.process.stop(Signal::Quit)?;
        ensure!(status.success(), "nginx ended with {}", describe(status));
        parse_log(&fs::read_to_string(self.directory.path().join("access.log"))?)
    }
}

fn parse_log(log: &str) -> Result<Vec<Logged>> {
    log.lines().map(|line| Logged::parse(line).with_context(|| format!("access log: {line}"))).collect()
}

impl Logged {
    /// Reads a line. Tabs separate: inside of values nginx writes them as `\t`.
    fn parse(line: &str) -> Result<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().context("a field is missing");
        Ok(Self {
            peer: SocketAddr::new(next()?.parse::<IpAddr>()?, next()?.parse()?),
            status: next()?.parse()?,
            request_length: next()?.parse()?,
            request_id: next()?.to_owned(),
            team: next()?.to_owned(),
            request: next()?.to_owned(),
        })
    }
}

/// Two workers, so that both CPUs serve; heads up to 64 KiB and bodies of any size, which are thrown away.
fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"daemon off;
user root root;
pid {directory}/pid;
worker_processes 2;
worker_shutdown_timeout 2s;
events {{ worker_connections 4096; }}
http {{
    log_format tests escape=json
        '$remote_addr\t$remote_port\t$status\t$request_length\t$http_x_request_id\t$http_x_team\t$request';
    access_log {directory}/access.log tests buffer=256k flush=1s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    large_client_header_buffers 4 64k;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
    server {{
        listen {PORT} backlog=1024;
        listen [::]:{PORT} ipv6only=on backlog=1024;
        location / {{ return 200 "ok\n"; }}
    }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_read() {
        let logged = Logged::parse("10.9.0.1\t4242\t200\t97\tid-1\tpay\\tments\tGET /a?b HTTP/1.1").unwrap();
        assert_eq!(logged.peer, "10.9.0.1:4242".parse().unwrap());
        assert_eq!((logged.status, logged.request_length), (200, 97));
        assert_eq!((logged.request_id.as_str(), logged.team.as_str()), ("id-1", "pay\\tments"));
        assert_eq!(logged.request, "GET /a?b HTTP/1.1");
        assert!(Logged::parse("10.9.0.1\t4242").is_err());
    }

    #[test]
    fn the_configuration_stays_in_its_directory() {
        let text = configuration(Path::new("/x/y"));
        assert_eq!(text.matches("/x/y/").count(), 7);
    }
}
