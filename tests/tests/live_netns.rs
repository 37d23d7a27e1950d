//! A run in another network namespace than its own: `--netns`, and inside `ip netns exec`.
#![cfg(feature = "kernel")]

use anyhow::{Context as _, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, netns::Namespace, veth::Device},
    peers::client::Request,
    process::Signal,
    tool::{
        attached,
        commands::{object, objects},
        toa_tc::{Start, ToaTc},
    },
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

#[test]
fn interfaces_and_sockets_of_another_namespace_are_used_and_pins_are_here() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let mut open = lab.connect(None)?;
        open.ask(Request::get("/open"))?;
        let outside = Device { namespace: Namespace::new()?, name: "web0".to_owned() };
        let path = lab.server.namespace.path();
        let path = path.to_str().context("a path that is no text")?;
        let tool = ToaTc::attach(&outside, &["--netns", path, "--any", "--existing"])?;
        assert_eq!(attached::on(&lab.server)?.len(), 1);
        let line = "toa-tc: open connections: following 0 of 1 ";
        wait::until(line, || Ok(tool.stderr()?.contains(line).then_some(())))?;
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
        // What is open there is shown as well, with its server, which is in that namespace.
        let flows = ["flows", "--existing", "--netns", path, "-o", "json"];
        let rows = objects(&outside.namespace, &flows)?;
        let servers: Vec<_> = rows.iter().map(|row| &row["process"]["executable"]["name"]).collect();
        assert_eq!(servers, ["nginx"]);
        assert!(rows.iter().all(|row| row["reason"] == "peer_only"), "{rows:?}");
        // Other commands see it from outside.
        let status = object(&outside.namespace, &["status", "-o", "json"])?;
        let interface = &status["runs"][0]["interfaces"][0];
        assert_eq!((&interface["name"], &interface["position"]), (&"web0".into(), &1.into()));
        tool.watch("add", "203.0.113.10")?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let targets: Vec<_> = output.requests()?.into_iter().map(|request| request.target).collect();
        assert_eq!(targets, ["/"], "{}", output.stderr);
        assert_eq!(mounts::pins()?, Vec::<std::path::PathBuf>::new());
        output.ledger()?.check()
    })
}

#[test]
fn a_namespace_that_does_not_exist_is_one_line() -> Result<()> {
    let namespace = Namespace::new()?;
    let output = ToaTc::run(&namespace, &["attach", "web0", "--any", "--netns", "no-such-namespace"])?;
    let line = "toa-tc: cannot enter network namespace no-such-namespace (/run/netns/no-such-namespace): No such file or \
                directory (os error 2)\n";
    assert_eq!((output.status.code(), output.stderr.as_str()), (Some(1), line));
    Ok(())
}

#[test]
fn a_run_inside_ip_netns_exec_prints() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    // What `ip netns exec` does once it is in the namespace: another `/sys`, without a BPF file system.
    let script = "umount -l /sys; mount -t sysfs sysfs /sys; exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"];
    let tool = ToaTc::attach_as(&lab.server, &["--any"], Start { wrapper: &wrapper, ..Start::default() })?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.requests()?.len(), 1, "{}", output.stderr);
    let line = "toa-tc: watch, status and flows will not see this run: no BPF file system at /sys/fs/bpf";
    assert!(output.stderr.contains(line), "{}", output.stderr);
    Ok(())
}
