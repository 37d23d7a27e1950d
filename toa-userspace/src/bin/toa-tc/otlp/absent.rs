//! Stands for the exporter in builds without it.

use std::{
    io::{self, Write},
    str::FromStr,
};

use anyhow::Result;

/// Where to send to. No text is one.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {}

/// The exporter, of which there is none.
#[derive(Debug)]
pub(crate) enum Exporter {}

/// Its queue.
#[derive(Debug)]
pub(crate) enum Queue {}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(_: &str) -> Result<Self, &'static str> {
        Err("this toa-tc was built without OpenTelemetry: build it with --features otlp")
    }
}

impl Exporter {
    pub(crate) fn start(endpoint: &Endpoint) -> Result<Self> {
        match *endpoint {}
    }

    pub(crate) fn queue(&self) -> Queue {
        match *self {}
    }

    pub(crate) fn finish(self) {
        match self {}
    }
}

impl Write for Queue {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_it_says_how_to_get_it() {
        let error = "http://127.0.0.1:4318".parse::<Endpoint>().unwrap_err();
        assert_eq!(error, "this toa-tc was built without OpenTelemetry: build it with --features otlp");
    }
}
