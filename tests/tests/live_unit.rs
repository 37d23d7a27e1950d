//! The systemd unit, under a systemd of its own: it starts, prints, reloads and stops.
#![cfg(feature = "kernel")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, cgroup::Cgroup, marker::Habit, tls_address},
    peers::{client::Request, tls_client::TlsConnection},
    process::{Process, Signal, children},
    tool::{attached, toa_tc},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// The unit, which the package would install.
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../toa-userspace/systemd/toa-tc@.service");

/// Joins a cgroup, whose directory is the first argument, and runs the command in the others. To systemd it is the root: two of them
/// in one would remove each other's cgroups.
const JOIN: &str = r#"
echo 0 > "$1/cgroup.procs"
shift
exec "$@"
"#;

/// Starts systemd as the first process of new namespaces, with the root directory of this host, of which it changes only a copy.
/// Arguments: an empty directory, the tool, and the unit.
const BOOT: &str = r#"
root=$1/root
mkdir "$root" "$1/copy"
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/copy"
mkdir "$1/copy/upper" "$1/copy/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/copy/upper,workdir=$1/copy/work" "$root"
mkdir -p "$root/usr/local/bin" "$root/etc/systemd/system" "$root/old"
cp "$2" "$root/usr/local/bin/toa-tc"
cp "$3" "$root/etc/systemd/system/"
rm -f "$root/etc/machine-id"
tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf -o mode=0700 bpf "$root/sys/fs/bpf"
for directory in run tmp dev var/log; do mount -t tmpfs tmpfs "$root/$directory"; done
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
pivot_root . old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=toa-tc@web0.service
"#;

/// An nginx with TLS, whose files are in this directory of systemd's.
const NGINX: &str = "\
user root;
pid /tmp/nginx/pid;
events {}
http {
    access_log off;
    server {
        listen 443 ssl;
        ssl_certificate /tmp/nginx/certificate.pem;
        ssl_certificate_key /tmp/nginx/key.pem;
        location / { return 200 ok; }
    }
}
";

/// Makes its certificate and starts it.
const START_NGINX: &str = "
cd /tmp/nginx
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=lab \
    -out certificate.pem -keyout key.pem 2> openssl.log
exec nginx -p /tmp/nginx -c nginx.conf -e error.log
";

/// Returns what the unit's comment says is to be added to it for `--tls`.
fn drop_in_for_tls() -> Result<String> {
    let unit = fs::read_to_string(UNIT)?;
    let lines = unit.lines().skip_while(|line| *line != "#     [Service]");
    let lines: Vec<_> = lines.map_while(|line| line.strip_prefix("#     ")).collect();
    ensure!(lines.len() > 3, "{lines:?}");
    Ok(lines.join("\n"))
}

/// A running systemd, and what it started.
struct Systemd {
    process: Process,
    _directory: tempfile::TempDir,
    _cgroup: Cgroup,
    /// The process id of the first process in its namespaces.
    id: u32,
}

impl Systemd {
    /// Starts the unit for the lab's server, and waits until it says that it is ready.
    fn start(lab: &Lab) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("toa-systemd-").tempdir()?;
        let log = directory.path().join("stderr");
        let cgroup = Cgroup::new()?;
        let mut command = lab.server.namespace.command("sh");
        command.args(["-ec", JOIN, "sh"]).arg(cgroup.path()).arg("unshare");
        command.args(["--fork", "--pid", "--kill-child", "--mount", "--cgroup", "--uts", "--ipc"]);
        command.args(["sh", "-ec", BOOT, "sh"]).arg(directory.path()).arg(toa_tc::binary()?).arg(UNIT);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let mut process = Process::new("systemd", command.spawn().context("starting systemd")?);
        let id = wait::until("systemd", || {
            ensure!(process.status()?.is_none(), "no systemd: {}", fs::read_to_string(&log)?);
            Ok(children(process.id())?.first().copied())
        })?;
        let systemd = Self { process, _directory: directory, _cgroup: cgroup, id };
        wait::until("the unit to be ready", || {
            let state = systemd.show("ActiveState").unwrap_or_default();
            ensure!(state != "failed", "it failed: {}", systemd.journal()?);
            Ok((state == "active").then_some(()))
        })?;
        Ok(systemd)
    }

    /// Runs a command in its namespaces.
    fn run(&self, command: &[&str]) -> Result<String> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args([
            "--target",
            &self.id.to_string(),
            "--pid",
            "--mount",
            "--cgroup",
            "--uts",
            "--ipc",
            "--net",
        ]);
        let output = nsenter.args(command).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{command:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn systemctl(&self, verb: &str) -> Result<String> {
        self.run(&["systemctl", verb, "toa-tc@web0"])
    }

    /// Returns a property of the unit.
    fn show(&self, property: &str) -> Result<String> {
        self.run(&["systemctl", "show", "--value", "--property", property, "toa-tc@web0"])
    }

    fn journal(&self) -> Result<String> {
        self.run(&["journalctl", "--unit", "toa-tc@web0", "--no-pager"])
    }

    /// Returns where a file of its is here.
    fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.id.to_string()).join("root").join(path)
    }
}

#[test]
fn the_unit_starts_notifies_reloads_and_stops() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let mut systemd = Systemd::start(&lab)?;
    assert_eq!((systemd.show("Type")?.as_str(), attached::on(&lab.server)?.len()), ("notify", 1));

    // Root finds the run of another user.
    assert!(systemd.run(&["toa-tc", "status"])?.contains("attached to web0 "));
    systemd.run(&["toa-tc", "watch", "add", "203.0.113.10"])?;

    let (file, old) = ("var/log/private/toa-tc/web0.json", "var/log/private/toa-tc/web0.json.1");
    let contains = |path: &str, target: &str| {
        let text = fs::read_to_string(systemd.path(path)).unwrap_or_default();
        text.contains(&format!("\"url\":{{\"original\":\"{target}\""))
    };
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    connection.ask(Request::get("/before"))?;
    wait::until("the first request", || Ok(contains(file, "/before").then_some(())))
        .with_context(|| systemd.journal().unwrap_or_default())?;
    fs::rename(systemd.path(file), systemd.path(old))?;
    systemd.systemctl("reload")?;
    wait::until("the new file", || Ok(systemd.path(file).exists().then_some(())))?;
    connection.ask(Request::get("/after"))?;
    wait::until("the second request", || Ok(contains(file, "/after").then_some(())))?;
    assert!(!contains(old, "/after"));

    systemd.systemctl("stop")?;
    let ended = ["ActiveState", "Result", "ExecMainStatus", "NRestarts"].map(|name| systemd.show(name).ok());
    let wanted = ["inactive", "success", "0", "0"].map(|value| Some(value.to_owned()));
    assert_eq!(ended, wanted, "{}", systemd.journal()?);
    let text = fs::read_to_string(systemd.path(file))?;
    assert!(text.lines().last().is_some_and(|line| line.contains("\"event\":\"ledger\"")), "{text}");
    assert_eq!(attached::on(&lab.server)?, []);
    let pins = systemd.run(&["ls", "/sys/fs/bpf"])?;
    assert!(!pins.contains("toa-tc"), "{pins}");
    systemd.process.stop(Signal::Kill)?;
    Ok(())
}

#[test]
fn with_what_its_comment_says_the_unit_reads_tls() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let mut systemd = Systemd::start(&lab)?;
    let nginx = systemd.path("tmp/nginx");
    fs::create_dir(&nginx)?;
    fs::write(nginx.join("nginx.conf"), NGINX)?;
    systemd.run(&["sh", "-ec", START_NGINX])?;
    let drop_in = systemd.path("etc/systemd/system/toa-tc@web0.service.d");
    fs::create_dir(&drop_in)?;
    fs::write(drop_in.join("tls.conf"), drop_in_for_tls()?)?;
    systemd.run(&["systemctl", "daemon-reload"])?;
    systemd.systemctl("restart").with_context(|| systemd.journal().unwrap_or_default())?;

    let bound = lab.bind()?;
    lab.marker.assign(bound.local(), &toa_option(CLIENT.into()))?;
    let mut connection = TlsConnection::open(&lab.balancer.namespace, bound, tls_address())?;
    connection.ask(Request::get("/inside"))?;
    let file = systemd.path("var/log/private/toa-tc/web0.json");
    let is_printed = |line: &str| line.contains("\"original\":\"/inside\"") && line.contains("\"tls\":true");
    wait::until("the request", || {
        Ok(fs::read_to_string(&file).unwrap_or_default().lines().any(is_printed).then_some(()))
    })
    .with_context(|| systemd.journal().unwrap_or_default())?;
    systemd.systemctl("stop")?;
    assert_eq!(systemd.show("Result")?, "success", "{}", systemd.journal()?);
    systemd.process.stop(Signal::Kill)?;
    Ok(())
}
