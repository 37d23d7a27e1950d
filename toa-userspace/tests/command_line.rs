//! Tests of exit codes and streams of command lines that need no kernel. [`snapshots`](snapshots.rs) has their texts.

use std::{
    error::Error,
    ffi::OsStr,
    fs::File,
    io,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Output, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, ptsname, unlockpt};

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
fn completions_are_printed_for_every_shell() -> Result {
    for (shell, part) in
        [("bash", "complete -F _toa__tc"), ("zsh", "#compdef toa-tc"), ("fish", "complete -c toa-tc")]
    {
        let output = tool(&["completions", shell]).output()?;
        let text = String::from_utf8(output.stdout)?;
        assert_eq!(output.status.code(), DONE, "{shell}");
        assert!(text.contains(part) && text.contains("server-port"), "{shell}: {text}");
        assert!(!text.contains("toa__subcmd__tc"), "{shell}: options of commands are not completed");
    }
    assert_eq!(tool(&["completions", "sh"]).output()?.status.code(), USAGE);
    Ok(())
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
fn mistakes_with_rules_and_metrics_are_one_line() -> Result {
    for (arguments, reason) in [
        (&["read", "-", "--rules", "-"][..], "only one of --rules and FILE can be read from stdin"),
        (
            &["attach", "no/device", "--rules", "-", "--connections", "-"],
            "only one of --rules and --connections can be read from stdin",
        ),
        (
            &["attach", "no/device", "--metrics", "localhost"],
            "invalid value 'localhost' for '--metrics <ADDR>': not an address such as 9464, :9464",
        ),
        (&["read", "none", "--rules", "/dev/null"], "the file of --rules has no rule"),
    ] {
        let output = tool(arguments).output()?;
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (USAGE, 1), "{arguments:?}: {said}");
        assert!(said.starts_with(&format!("toa-tc: {reason}")), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_capture_is_not_written_to_a_terminal() -> Result {
    let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let name = ptsname(&terminal, Vec::new())?;
    for arguments in [&["-w", "-"][..], &["-w", "-", "--output-file", "-"]] {
        let open = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()))?;
        let output = tool(&[&["attach", "no/device", "--any"], arguments].concat()).stdout(open).output()?;
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (USAGE, 1), "{said}");
        assert!(
            said.starts_with("toa-tc: -w - writes binary data: redirect it to a file, or pipe it"),
            "{said}"
        );
    }
    Ok(())
}

#[test]
fn an_output_file_that_is_a_dash_is_stdout() -> Result {
    let directory =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dash-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let mut command = tool(&["attach", "no/device", "--any", "--output-file", "-"]);
    let output = command.current_dir(&directory).output()?;
    let files = std::fs::read_dir(&directory)?.count();
    std::fs::remove_dir_all(&directory)?;
    assert_eq!((output.status.code(), files), (Some(1), 0), "{output:?}");
    let output = tool(&["attach", "no/device", "--output-file", "-", "--rotate-size", "1M"]).output()?;
    assert!(stderr(&output).starts_with("toa-tc: nothing to rotate: "), "{output:?}");
    Ok(())
}

#[test]
fn rules_that_cannot_be_read_are_one_line() -> Result {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rules-{}", std::process::id()));
    std::fs::write(&path, "# ours\n203.0.113.9\nclient.example\n")?;
    let wrong = path.to_str().ok_or("no text")?;
    let commands: [&[&str]; 3] =
        [&["read", "/dev/null", "--rules"], &["attach", "no/device", "--rules"], &["watch", "set"]];
    for command in commands {
        for (path, code, reason) in [
            ("/no/such/rules", 1, "cannot open /no/such/rules: No such file".to_owned()),
            ("/", 1, "cannot read /: it is a directory".to_owned()),
            ("203.0.113.0/24", 2, "203.0.113.0/24 is a rule, not a file of rules: ".to_owned()),
            (wrong, 2, format!("toa-tc: {wrong}: line 3: \"client.example\" is a host name")),
        ] {
            let output = tool(&[command, &[path]].concat()).output()?;
            assert_eq!(
                (output.status.code(), output.stdout.len()),
                (Some(code), 0),
                "{command:?}: {output:?}"
            );
            let stderr = stderr(&output);
            assert!(stderr.lines().count() == 1 && stderr.contains(&reason), "{command:?}: {stderr}");
        }
    }
    std::fs::remove_file(path)?;
    Ok(())
}

#[test]
fn the_schemas_are_printed() -> Result {
    for (arguments, title) in [
        (&["schema"][..], "toa-tc -o json"),
        (&["schema", "events"], "toa-tc -o json"),
        (&["schema", "commands"], "JSON of toa-tc status, "),
    ] {
        let output = tool(arguments).output()?;
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        jsonschema::validator_for(&schema)?;
        assert!(schema["title"].as_str().is_some_and(|found| found.starts_with(title)), "{arguments:?}");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (DONE, ""), "{arguments:?}");
    }
    Ok(())
}

#[test]
fn arguments_of_any_bytes_are_read() -> Result {
    for arguments in [&[&b"\xff"[..]][..], &[b"read", b"caf\xe9.pcap", b"--bogus"]] {
        let output = tool(&[]).args(arguments.iter().map(|it| OsStr::from_bytes(it))).output()?;
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    }
    Ok(())
}

#[test]
fn exit_codes_are_in_the_help() -> Result {
    for (command, nothing) in [
        (&["read"][..], Some("none was")),
        (&["flows"], Some("there is none")),
        (&["status"], Some("none is")),
        (&["watch", "list"], Some("there is none")),
        (&["attach"], None),
        (&["clients"], None),
    ] {
        let output = tool(&[command, &["--help"]].concat()).output()?;
        let help = String::from_utf8(output.stdout)?.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, codes) = help.split_once("Exit code: 0 if ").ok_or("no exit codes")?;
        assert!(codes.contains(", 1 on a failure, 2 on a usage error"), "{command:?}: {codes}");
        assert_eq!(codes.split_once(", 3 if ").map(|(_, nothing)| nothing), nothing, "{command:?}");
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

#[test]
fn top_needs_a_terminal() -> Result {
    for options in [&[][..], &["-o", "json"], &["--output-file", "/dev/null"]] {
        let output = tool(&[&["top", "lo"], options].concat()).output()?;
        assert_eq!(output.status.code(), USAGE, "{output:?}");
        let expected = "top needs a terminal: elsewhere, use toa-tc clients, or toa-tc attach --summary-by KEYS (see \
                        toa-tc top --help)";
        let said = stderr(&output);
        assert!(said.contains(expected) && said.lines().count() == 1 && output.stdout.is_empty(), "{said}");
    }
    Ok(())
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_that_cannot_send_says_so_in_one_line() -> Result {
    let output = tool(&["attach", "eth0", "--otlp", "http://127.0.0.1:4318"]).output()?;
    let line = "toa-tc: invalid value 'http://127.0.0.1:4318' for '--otlp <URL>': this toa-tc was built without \
                OpenTelemetry: build it with --features otlp (see toa-tc attach --help)\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (USAGE, line));
    Ok(())
}
