//! Captures that are compressed.

use std::{io::Write as _, process::Output};

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{File, PRINTED, Result, capture, first_line, piped, text};

pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// Gives the tool a whole file by a pipe.
fn from_stdin(bytes: &[u8]) -> Result<Output> {
    let mut child = piped(&["--any"])?;
    child.stdin.take().ok_or("no stdin")?.write_all(bytes)?;
    Ok(child.wait_with_output()?)
}

#[test]
fn a_compressed_capture_is_read_whatever_its_name_is() -> Result {
    for (name, bytes) in [("gzip", gzip(&capture())?), ("zstd", zstd(&capture()))] {
        for output in [File::new(name, &bytes)?.read(&["--any"])?, from_stdin(&bytes)?] {
            assert_eq!(
                (output.status.code(), text(&output.stdout).as_str()),
                (Some(0), PRINTED),
                "{output:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_capture_in_another_compression_is_told() -> Result {
    for (name, beginning) in
        [("xz", &b"\xfd7zXZ\0\0\x04"[..]), ("bzip2", b"BZh91AY&"), ("lz4", b"\x04\x22\x4d\x18dp\xb9")]
    {
        let output = File::new(name, beginning)?.read(&["--any"])?;
        let expected = format!(
            ": it is compressed with {name}: decompress it first, as in {name} -dc FILE | toa-tc read -\n"
        );
        assert!(output.status.code() == Some(1) && text(&output.stderr).ends_with(&expected), "{output:?}");
    }
    Ok(())
}

#[test]
fn compressed_data_that_ends_early_is_printed_up_to_its_end_and_is_a_failure() -> Result {
    for (name, bytes) in [("gzip", gzip(&capture())?), ("zstd", zstd(&capture()))] {
        let cut = bytes.get(..bytes.len() - 3).ok_or("a short file")?;
        for output in [File::new(name, cut)?.read(&["--any"])?, from_stdin(cut)?] {
            assert_eq!(
                (output.status.code(), text(&output.stdout).as_str()),
                (Some(1), PRINTED),
                "{output:?}"
            );
            let said = text(&output.stderr);
            let expected = format!(": the {name} data ends early");
            assert!(said.lines().last().is_some_and(|last| last.ends_with(&expected)), "{said}");
            assert_eq!(said.matches("cannot read").count(), 1, "{said}");
        }
    }
    Ok(())
}

#[test]
fn damaged_compressed_data_is_one_line_and_exit_code_1() -> Result {
    for (name, mut bytes) in [("gzip", gzip(&capture())?), ("zstd", zstd(&capture()))] {
        // Both end with a checksum, gzip before a length of four bytes.
        let at = bytes.len() - 8;
        bytes.iter_mut().skip(at).for_each(|byte| *byte ^= 0x55);
        let output = File::new(name, &bytes)?.read(&["--any"])?;
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.matches("cannot read").count()), (Some(1), 1), "{said}");
    }
    Ok(())
}

#[test]
fn a_request_of_a_compressed_pipe_is_printed_when_its_bytes_are_flushed() -> Result {
    let mut child = piped(&["--any"])?;
    let mut encoder = GzEncoder::new(child.stdin.take().ok_or("no stdin")?, Compression::default());
    encoder.write_all(&capture())?;
    encoder.flush()?;
    assert_eq!(Some(first_line(&mut child)?.as_str()), PRINTED.lines().next());
    encoder.finish()?;
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_signal_ends_the_reading_of_a_compressed_pipe() -> Result {
    let mut child = piped(&["--any"])?;
    let mut encoder = GzEncoder::new(child.stdin.take().ok_or("no stdin")?, Compression::default());
    encoder.write_all(&capture())?;
    encoder.flush()?;
    first_line(&mut child)?;
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT)?;
    assert_eq!(child.wait()?.code(), Some(0));
    drop(encoder);
    Ok(())
}
