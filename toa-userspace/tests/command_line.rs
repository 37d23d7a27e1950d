//! Tests of exit codes and streams of command lines that need no kernel. [`snapshots`](snapshots.rs) has their texts.

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
fn more_interfaces_than_64_are_one_line_and_exit_code_2() -> Result {
    let names: Vec<_> = (0..65).map(|number| format!("no/device{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let output = tool(&[&["attach"], &names[..]].concat()).output()?;
    assert_eq!(output.status.code(), USAGE, "{output:?}");
    assert_eq!(stderr(&output), "toa-tc: at most 64 interfaces are possible (see toa-tc attach --help)\n");
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
fn a_closed_stdout_is_no_failure() -> Result {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    let output = tool(&["--help"]).stdout(writer).output()?;
    assert_eq!((output.status.code(), stderr(&output).as_str()), (DONE, ""));
    Ok(())
}

#[test]
fn filters_conform_to_their_schema() -> Result {
    let schema = serde_json::from_str(include_str!("../schema/commands.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    for arguments in [&["203.0.113.9"][..], &["203.0.112.0/20", ":80"], &["any", "--toa", "all"]] {
        let output = tool(&[&["filter", "-o", "json"], arguments].concat()).output()?;
        let filters: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        assert!(schema.is_valid(&filters) && filters.get("tcpdump").is_some(), "{filters}");
    }
    Ok(())
}
