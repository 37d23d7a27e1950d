//! What is selected: rules from a file, and the exit code if nothing is.

use super::*;

#[test]
fn a_capture_without_a_request_of_a_watched_client_is_exit_code_3() -> Result {
    let file = File::new("nothing", &capture())?;
    for arguments in [&["--ip", "192.0.2.1"][..], &["--ip", "192.0.2.1", "--summary-by", "client"]] {
        let output = file.read(arguments)?;
        assert_eq!((output.status.code(), text(&output.stderr).is_empty()), (Some(3), false), "{output:?}");
    }
    assert_eq!(file.read(&["--any", "-c", "1"])?.status.code(), Some(0));
    // What cannot be read to its end may have had one.
    let cut = File::new("cut", &capture()[..capture().len() - REQUEST.len() - 1])?;
    assert_eq!(cut.read(&["--ip", "192.0.2.1"])?.status.code(), Some(1));
    Ok(())
}

#[test]
fn rules_of_a_file_are_rules_of_the_command_line() -> Result {
    let file = File::new("ruled", &capture())?;
    for (rules, arguments, code) in [
        ("# team\n120.120.111.111 # one\n", &[][..], 0),
        ("192.0.2.1\n", &["--ip", "120.120.111.0/24"], 0),
        ("120.120.111.111\n", &["--port", "44208"], 0),
        ("120.120.111.111\n", &["--port", "1"], 3),
        ("192.0.2.1", &[], 3),
        // No rules are not every rule.
        ("", &["--port", "44208"], 2),
    ] {
        let rules = File::new("rules", rules.as_bytes())?;
        let path = rules.0.to_str().ok_or("no text")?;
        let output = file.read(&[&["--rules", path], arguments].concat())?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), if code == 0 { PRINTED } else { "" }, "{arguments:?}");
    }
    Ok(())
}
