//! A real nginx in a namespace, and its logs.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Display, Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    lab::netns::Namespace,
    peers::{
        certificate,
        request_lines::{self, LoggedLine},
    },
    process::{Process, Signal, children, describe},
    wait,
};

/// The port that it listens on, IPv4 and IPv6.
pub const PORT: u16 = 80;
/// The port of the server that passes over invalid fields, as nginx does by default: see [`Also::Rows`].
pub const LENIENT_PORT: u16 = 81;
/// The port of the server that refuses invalid fields.
pub const STRICT_PORT: u16 = 82;
/// The target of requests that are answered only once their whole body has been read. All others are answered at once.
pub const WHOLE: &str = "/whole";
/// The port of the server that requires a PROXY protocol header.
pub const PROXY_PORT: u16 = 83;

/// The port of the server that speaks HTTP/2 without TLS: see [`Also::Http2`].
pub const HTTP2_PORT: u16 = 84;

/// The port of the server with TLS: see [`Also::Tls`].
pub const TLS_PORT: u16 = 443;

/// The port of a gRPC server on the same host, to which the servers with HTTP/2 pass on the calls of `lab.Orders`.
pub const GRPC_PORT: u16 = 50_051;

/// Its settings. It inherits its descriptor limit from the process that starts it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Worker processes.
    pub workers: u32,
    /// Maximum number of connections per worker.
    pub worker_connections: u32,
    /// Whether each worker has its own accept queue (`SO_REUSEPORT`); the kernel distributes connections
    /// evenly among them.
    pub has_queues: bool,
    /// How long a connection may be idle.
    pub keepalive: Duration,
    /// Whether requests are logged.
    pub logs_requests: bool,
    /// What it also serves.
    pub also: Also,
}

/// What nginx serves beside HTTP/1 on [`PORT`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Also {
    /// Nothing.
    Nothing,
    /// Rows of a table, on [`LENIENT_PORT`] and [`STRICT_PORT`]: heads of several hundred kilobytes, of which it logs the
    /// request lines byte for byte.
    Rows,
    /// HTTP/2 without TLS, on [`HTTP2_PORT`].
    Http2,
    /// TLS, on [`TLS_PORT`], with HTTP/1 or HTTP/2.
    Tls,
}

/// Two workers, so that both CPUs serve.
impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 2,
            worker_connections: 4096,
            has_queues: false,
            keepalive: Duration::from_secs(60),
            logs_requests: true,
            also: Also::Nothing,
        }
    }
}

/// A running nginx that answers every request with 200 and a short body.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    directory: TempDir,
}

/// A line of the access log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logged {
    /// The sender as nginx sees it: the balancer.
    pub peer: SocketAddr,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the request: head and body. 0 if nginx logs a negative number, as it does for some chunked bodies that
    /// were not read.
    pub request_length: u64,
    /// The field `x-request-id`.
    pub request_id: String,
    /// The field `x-team`.
    pub team: String,
    /// The request line.
    pub request: String,
}

impl Nginx {
    /// Starts nginx and waits until it accepts connections.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        Self::start_with(namespace, Setup::default())
    }

    /// Starts nginx with these settings.
    pub fn start_with(namespace: &Namespace, setup: Setup) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-nginx-").tempdir()?;
        let path = directory.path();
        fs::write(path.join("nginx.conf"), configuration(path, setup))?;
        if setup.also == Also::Tls {
            certificate::make(path)?;
        }
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
        wait::until("nginx to accept connections", || {
            if let Some(status) = process.status()? {
                let said = fs::read_to_string(&errors).unwrap_or_default();
                anyhow::bail!("nginx ended with {}: {said}", describe(status));
            }
            Ok(namespace.run(|| Ok(TcpStream::connect(("127.0.0.1", PORT))?)).ok())
        })?;
        Ok(Self { process, directory })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the path of its certificate: see [`Also::Tls`].
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Makes it read its configuration again. Returns once all its workers are new ones.
    pub fn reload(&mut self) -> Result<()> {
        let old: BTreeSet<_> = children(self.id())?.into_iter().collect();
        self.process.signal(Signal::Hangup)?;
        wait::until("new workers of nginx", || {
            let workers = children(self.id())?;
            Ok((!workers.is_empty() && !workers.iter().any(|worker| old.contains(worker))).then_some(()))
        })
    }

    /// Returns what it has logged so far. nginx flushes its log once per second.
    pub fn log(&self) -> Result<Vec<Logged>> {
        let log = fs::read_to_string(self.directory.path().join("access.log"))?;
        // The last line may be incomplete.
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        parse_log(log.get(..whole).unwrap_or_default())
    }

    /// Shuts nginx down gracefully and returns its access log.
    pub fn stop(mut self) -> Result<Vec<Logged>> {
        self.quit()?;
        parse_log(&fs::read_to_string(self.directory.path().join("access.log"))?)
    }

    /// Shuts nginx down gracefully and returns what the servers of [`Also::Rows`] logged.
    pub fn stop_for_lines(mut self) -> Result<Vec<LoggedLine>> {
        self.quit()?;
        request_lines::parse(&fs::read_to_string(self.directory.path().join("lines.log"))?)
    }

    /// Shuts nginx down gracefully and returns its error log: warnings and worse.
    pub fn stop_for_errors(mut self) -> Result<String> {
        self.quit()?;
        Ok(fs::read_to_string(self.directory.path().join("error.log"))?)
    }

    fn quit(&mut self) -> Result<()> {
        let status: ExitStatus = self.process.stop(Signal::Quit)?;
        ensure!(status.success(), "nginx ended with {}", describe(status));
        Ok(())
    }
}

fn parse_log(log: &str) -> Result<Vec<Logged>> {
    log.lines().map(|line| Logged::parse(line).with_context(|| format!("access log: {line}"))).collect()
}

impl Logged {
    /// Parses a line of fields separated by tabs. nginx escapes tabs in values as `\t`.
    fn parse(line: &str) -> Result<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().context("a field is missing");
        Ok(Self {
            peer: SocketAddr::new(next()?.parse::<IpAddr>()?, next()?.parse()?),
            status: next()?.parse()?,
            request_length: next()?.parse::<i64>()?.try_into().unwrap_or_default(),
            request_id: next()?.to_owned(),
            team: next()?.to_owned(),
            request: next()?.to_owned(),
        })
    }
}

impl Also {
    /// Returns its part of the configuration.
    fn servers(self, directory: &Display<'_>, queue: &str) -> String {
        let answer = r#"location / { return 200 "ok\n"; }"#;
        let grpc = format!("location /lab.Orders/ {{ grpc_pass grpc://127.0.0.1:{GRPC_PORT}; }}");
        match self {
            Self::Nothing => String::new(),
            Self::Rows => {
                let [lenient, strict] = [(LENIENT_PORT, "on"), (STRICT_PORT, "off")].map(|(port, ignore)| {
                    format!(
                        "server {{
        listen {port} backlog=1024;
        access_log {directory}/lines.log lines;
        ignore_invalid_headers {ignore};
        underscores_in_headers on;
        large_client_header_buffers 16 512k;
        {answer}
    }}"
                    )
                });
                format!("log_format lines '{}';\n    {lenient}\n    {strict}", request_lines::FORMAT)
            }
            Self::Http2 => format!("server {{ listen {HTTP2_PORT} http2 {queue}; {answer} {grpc} }}"),
            Self::Tls => format!(
                "server {{
        listen {TLS_PORT} ssl http2 {queue};
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        {answer}
        {grpc}
    }}"
            ),
        }
    }
}

/// Accepts heads of up to 64 KiB and bodies of any size, which it discards.
fn configuration(directory: &Path, setup: Setup) -> String {
    let directory = directory.display();
    let Setup { workers, worker_connections, has_queues, keepalive, logs_requests, also } = setup;
    let keepalive = keepalive.as_secs();
    let queue = if has_queues { "backlog=1024 reuseport" } else { "backlog=1024" };
    let access_log = if logs_requests {
        format!("{directory}/access.log tests buffer=256k flush=1s")
    } else {
        "off".to_owned()
    };
    let more = also.servers(&directory, queue);
    format!(
        r#"daemon off;
user root root;
pid {directory}/pid;
error_log {directory}/error.log warn;
worker_processes {workers};
worker_shutdown_timeout 2s;
events {{ worker_connections {worker_connections}; }}
http {{
    log_format tests escape=json
        '$remote_addr\t$remote_port\t$status\t$request_length\t$http_x_request_id\t$http_x_team\t$request';
    access_log {access_log};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    large_client_header_buffers 4 64k;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout {keepalive}s;
    # An answered request whose body is still to come may wait for a client that a test holds up: the default of 5 s
    # would close its connection.
    lingering_time 300s;
    lingering_timeout 60s;
    server {{
        listen {PORT} {queue};
        listen [::]:{PORT} ipv6only=on {queue};
        location / {{ return 200 "ok\n"; }}
        # Answers once it has read the whole body, which only a proxy does.
        location = {WHOLE} {{
            client_body_buffer_size 12m;
            proxy_pass_request_body off;
            proxy_set_header content-length "";
            proxy_pass http://unix:{directory}/whole:/;
        }}
    }}
    server {{
        listen unix:{directory}/whole;
        access_log off;
        location / {{ return 200 "ok\n"; }}
    }}
    server {{
        listen {PROXY_PORT} proxy_protocol;
        location / {{ return 200 "ok\n"; }}
    }}
    {more}
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
        let text = configuration(Path::new("/x/y"), Setup::default());
        assert_eq!(text.matches("/x/y/").count(), 10);
    }
}
