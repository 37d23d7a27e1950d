//! The answers that a client of HTTP/1.1 reads on one connection.

use std::io::Read;

use anyhow::{Context as _, Result, ensure};

/// How many answers were read, and what was read of the next one.
#[derive(Debug, Default)]
pub(super) struct Answers {
    count: usize,
    unread: Vec<u8>,
}

impl Answers {
    /// Reads until there are so many answers. Each of them must be 200.
    pub(super) fn read(&mut self, input: &mut impl Read, count: usize) -> Result<()> {
        while self.count < count {
            self.read_one(input).with_context(|| format!("answer {}", self.count))?;
            self.count += 1;
        }
        Ok(())
    }

    fn read_one(&mut self, input: &mut impl Read) -> Result<()> {
        let head_len = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more(input)?;
        };
        let head = String::from_utf8_lossy(self.unread.get(..head_len).unwrap_or_default()).into_owned();
        ensure!(head.starts_with("HTTP/1.1 200 "), "unexpected answer: {head}");
        let body_len: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .context("an answer without a length")?
            .1
            .parse()?;
        while self.unread.len() < head_len + body_len {
            self.read_more(input)?;
        }
        self.unread.drain(..head_len + body_len);
        Ok(())
    }

    fn read_more(&mut self, input: &mut impl Read) -> Result<()> {
        let mut buffer = [0; 4096];
        let len = input.read(&mut buffer)?;
        ensure!(len > 0, "the server closed the connection");
        self.unread.extend(buffer.iter().take(len));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let mut answers = Answers::default();
        let one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        answers.read(&mut [&one[..], one, b"HTTP"].concat().as_slice(), 2).unwrap();
        assert_eq!(answers.unread, b"HTTP");
        assert!(answers.read(&mut &b"/1.1 400 Bad Request\r\n\r\n"[..], 3).is_err());
        assert!(Answers::default().read(&mut &one[..5], 1).is_err());
    }
}
