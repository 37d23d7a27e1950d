//! Responsible for how results look. Not responsible for where they are written.

pub mod escape;
pub mod explain;
pub mod json;
pub mod limited;
pub mod redact;
pub mod summary;
pub mod text;

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    /// Keeps what is written, one piece a write.
    #[derive(Default)]
    pub(super) struct Writes(pub(super) Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
