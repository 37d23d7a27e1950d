//! Several captures at once.

use std::{io::Write as _, process::Output};

use super::{ACK, File, Result, SYN, TOA, block_at, compressed::gzip, header, packet, text, tool};

/// Returns a connection from `port` with a request in each of `seconds`, in order.
fn connection(port: u16, seconds: &[usize]) -> Vec<(usize, Vec<u8>)> {
    let mut packets = vec![(seconds.first().copied().unwrap_or(0), packet(port, 9, SYN, &TOA, b""))];
    let mut seq = 10;
    for second in seconds {
        let request = format!("GET /{port}/{second} HTTP/1.1\r\nhost: a\r\n\r\n");
        packets.push((*second, packet(port, seq, ACK, &[], request.as_bytes())));
        seq += u32::try_from(request.len()).unwrap_or(0);
    }
    packets
}

fn file(packets: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let blocks = packets.iter().map(|(second, packet)| block_at(*second, packet));
    [header()].into_iter().chain(blocks).flatten().collect()
}

fn read(files: &[&File]) -> Result<Output> {
    let paths = files.iter().map(|file| &file.0);
    Ok(tool().arg("read").args(paths).args(["--ip", "120.120.111.111"]).output()?)
}

/// Returns the targets that were printed.
fn targets(output: &Output) -> Vec<String> {
    let printed = text(&output.stdout);
    let target = |line: &str| Some(line.split_once("GET ")?.1.split_once(' ')?.0.to_owned());
    printed.lines().filter_map(target).collect()
}

#[test]
fn a_ring_of_files_is_read_in_the_order_of_time() -> Result {
    let packets = connection(7, &[0, 1, 2, 3, 4, 5]);
    // A connection goes on over its files, and a request over two.
    let (first, rest) = packets.split_at(3);
    let (second, third) = rest.split_at(2);
    let ring = [
        File::new("ring", &file(first))?,
        File::new("ring", &gzip(&file(second))?)?,
        File::new("ring", &file(third))?,
    ];
    let expected = ["/7/0", "/7/1", "/7/2", "/7/3", "/7/4", "/7/5"];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        let output = read(&order.map(|at: usize| &ring[at]))?;
        assert_eq!((output.status.code(), targets(&output)), (Some(0), expected.map(String::from).to_vec()));
        assert!(text(&output.stderr).contains("6 requests of 1 client on 1 connection"), "{output:?}");
    }
    Ok(())
}

#[test]
fn files_that_overlap_are_merged() -> Result {
    let one = File::new("one", &file(&connection(7, &[0, 2, 4, 6])))?;
    let other = File::new("other", &file(&connection(8, &[1, 3, 5])))?;
    for files in [[&one, &other], [&other, &one]] {
        let expected = ["/7/0", "/8/1", "/7/2", "/8/3", "/7/4", "/8/5", "/7/6"];
        assert_eq!(targets(&read(&files)?), expected);
    }
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_and_the_others_are_read() -> Result {
    let whole = file(&connection(7, &[0, 1]));
    let cut = File::new("cut", whole.get(..whole.len() - 3).unwrap_or_default())?;
    let empty = File::new("empty", b"")?;
    let good = File::new("good", &file(&connection(8, &[5])))?;
    let output = read(&[&good, &cut, &empty])?;
    let said = text(&output.stderr);
    assert_eq!(
        (output.status.code(), targets(&output)),
        (Some(1), vec!["/7/0".into(), "/8/5".into()]),
        "{said}"
    );
    for (file, reason) in [(&cut, "ends within a packet"), (&empty, "empty")] {
        let path = file.0.display().to_string();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(&path)).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason), "{said}");
    }
    Ok(())
}

#[test]
fn stdin_is_one_of_them() -> Result {
    let one = File::new("beside", &file(&connection(7, &[0, 2])))?;
    let mut command = tool();
    command.arg("read").arg(&one.0).args(["-", "--any"]).stdin(std::process::Stdio::piped());
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(&file(&connection(8, &[1])))?;
    let output = child.wait_with_output()?;
    assert_eq!(targets(&output), ["/7/0", "/8/1", "/7/2"]);
    let twice = tool().args(["read", "-", "-", "--any"]).output()?;
    assert_eq!(twice.status.code(), Some(2), "{twice:?}");
    Ok(())
}

#[test]
fn more_files_than_may_be_open_are_read() -> Result {
    let files: Vec<File> = (0..80_u16)
        .map(|number| File::new("many", &file(&connection(number, &[number.into()]))))
        .collect::<Result<_>>()?;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 40 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_toa-tc"), "read", "--any"]);
    let output = command.args(files.iter().map(|file| &file.0)).output()?;
    assert_eq!((output.status.code(), targets(&output).len()), (Some(0), 80), "{output:?}");
    Ok(())
}
