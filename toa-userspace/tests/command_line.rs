//! Tests of messages and exit codes of command lines that need no kernel.

use std::{
    error::Error,
    io,
    process::{Command, Output, Stdio},
};

type Result = std::result::Result<(), Box<dyn Error>>;

const DONE: Option<i32> = Some(0);
const USAGE: Option<i32> = Some(2);

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toa-tc"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_and_version_are_results() -> Result {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["attach", "--help"],
        &["read", "--help"],
        &["help", "watch", "add"],
    ] {
        let output = tool(arguments).output()?;
        assert_eq!(output.status.code(), DONE, "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn without_a_command_the_help_is_no_result() -> Result {
    for arguments in [&[][..], &["watch"]] {
        let output = tool(arguments).output()?;
        assert_eq!(output.status.code(), USAGE, "{arguments:?}");
        assert!(output.stdout.is_empty() && stderr(&output).contains("Usage: toa-tc"), "{output:?}");
    }
    Ok(())
}

#[test]
fn a_command_line_that_makes_no_sense_is_one_line_and_exit_code_2() -> Result {
    // No device can have this name, so a command line that is accepted by mistake attaches to nothing.
    for (arguments, reason) in [
        (&["attach"][..], "<IFACE>"),
        (&["attach", "no/device", "--frobnicate"], "--frobnicate"),
        (&["frobnicate"], "frobnicate"),
        (&["attach", "no/device", "--ip", "300.1.2.3"], "300.1.2.3"),
        (&["attach", "no/device", "--ip", "203.0.113.9/24"], "did you mean 203.0.113.0/24"),
        (&["attach", "no/device", "--toa", "254:12"], "unknown TOA layout 254:12"),
        (&["flows", "--connections", "-", "--existing"], "cannot be used with"),
        (&["flows", "203.0.113.9"], "--connections"),
        (&["attach", "no/device", "--toa", "lsv"], "(profiles: default, lvs, "),
        (&["attach", "no/device", "--lb", "10.9.0.1/24"], "did you mean 10.9.0.0/24"),
        (&["attach", "no/device", "--server-port", "http"], "http is not a port"),
        (&["attach", "no/device", "--max-flows", "0"], "--max-flows"),
        (&["attach", "no/device", "--ip", "192.0.2.1:80", "--port", "81"], "--ip and --port"),
        (&["attach", "no/device", "--port", "70000"], "70000 is not a port"),
        (&["attach", "no/device", "-c", "0"], "-c"),
        (&["attach", "no/device", "--duration", "soon"], "30s"),
        (&["attach", "no/device", "--ring-size", "5000"], "power of two"),
        (&["attach", "no/device", "-o", "xml"], "text, oneline, json"),
        (&["read", "none", "--grep", "("], "unclosed group"),
        (&["read", "none", "--header", "[a"], "invalid range pattern"),
        (&["read", "none", "--summary-by", "team"], "none of client, path and header:NAME"),
        (&["read", "none", "-q", "-v"], "cannot be used with"),
        (&["attach", "no/device", "--any-flow"], "--any-flow needs --server-port or --lb"),
        (&["read"], "<FILE>"),
        (&["read", "/dev/null"], "give --ip, --port, --any or --any-flow"),
        (&["read", "/dev/null", "--any-flow", "--any"], "cannot be used with"),
        (&["read", "/dev/null", "--any", "--duration", "1s"], "--duration"),
        (&["watch", "add"], "<RULE>"),
        (&["watch", "list", "--pid", "0"], "--pid"),
        (&["status", "-o", "xml"], "text, json"),
    ] {
        let output = tool(arguments).output()?;
        assert_eq!(output.status.code(), USAGE, "{arguments:?}: {output:?}");
        let said = stderr(&output);
        assert!(said.starts_with("toa-tc: ") && said.contains(reason), "{arguments:?}: {said}");
        assert_eq!((said.lines().count(), output.stdout.len()), (1, 0), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn more_interfaces_than_64_are_one_line_and_exit_code_2() -> Result {
    let names: Vec<_> = (0..65).map(|number| format!("no/device{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let output = tool(&[&["attach"], &names[..]].concat()).output()?;
    assert_eq!(output.status.code(), USAGE, "{output:?}");
    assert_eq!(stderr(&output), "toa-tc: at most 64 interfaces are possible\n");
    // One less is refused for another reason.
    let output = tool(&[&["attach"], &names[1..]].concat()).output()?;
    assert!(!stderr(&output).contains("interfaces are possible"), "{output:?}");
    Ok(())
}

#[test]
fn a_table_that_cannot_be_opened_is_one_line() -> Result {
    let commands: [&[&str]; 2] = [&["flows"], &["attach", "no/device", "--any"]];
    for (path, reason) in [("/no/such/table", "No such file"), ("/", "it is a directory")] {
        for command in commands {
            let output = tool(&[command, &["--connections", path]].concat()).output()?;
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{command:?}");
            let stderr = stderr(&output);
            assert!(stderr.lines().count() == 1 && stderr.contains(reason), "{command:?}: {stderr}");
        }
    }
    Ok(())
}

#[test]
fn a_stdout_that_is_closed_at_the_start_is_a_failure() -> Result {
    for arguments in [&["attach", "no/device", "--any"][..], &["read", "/dev/null", "--any"]] {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >&-", env!("CARGO_BIN_EXE_toa-tc")]).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert_eq!(stderr(&output), "toa-tc: stdout is closed: nothing can be printed\n", "{arguments:?}");
    }
    Ok(())
}

#[test]
fn a_host_name_is_refused_with_a_hint() -> Result {
    let attach = ["attach", "no/device", "--ip", "client.example"];
    for arguments in
        [&attach[..], &["watch", "add", "client.example:443"], &["watch", "remove", "client.example"]]
    {
        let output = tool(arguments).output()?;
        assert_eq!(output.status.code(), USAGE, "{arguments:?}");
        assert!(stderr(&output).contains("getent ahosts client.example"), "{output:?}");
    }
    Ok(())
}

#[test]
fn a_closed_stdout_is_no_failure() -> Result {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    let output = tool(&["--help"]).stdout(writer).output()?;
    assert_eq!((output.status.code(), stderr(&output).as_str()), (DONE, ""));
    Ok(())
}
