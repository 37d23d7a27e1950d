//! Header blocks of HTTP/2 inside TLS, as tshark decrypts and decodes them.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Flag of HEADERS and CONTINUATION: the last frame of a header block.
const END_HEADERS: u32 = 4;

/// A header block.
#[derive(Clone, Debug, Default)]
pub struct HeaderBlock {
    /// The port that sent it.
    pub port: u16,
    /// The identifier of its stream.
    pub stream: u64,
    /// The number of the packet that ends it.
    pub packet: usize,
    /// Its frames.
    pub frames: usize,
    /// Names and values in order, byte for byte.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// How each of them was sent, in tshark's words.
    pub representations: Vec<String>,
    /// How often it changes the size of the table.
    pub size_updates: usize,
}

/// Returns the header blocks that a capture has of packets to a port, in order, decrypted with the keys of a file.
pub fn header_blocks(capture: &Path, keys: &Path, port: u16) -> Result<Vec<HeaderBlock>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-o", &format!("tls.keylog_file:{}", keys.display())]);
    command.args(["-Y", &format!("http2 && tcp.dstport == {port}")]);
    // With the bytes of every field: as text, tshark replaces what is not ASCII.
    command.args(["-T", "json", "-x", "--no-duplicate-keys", "-J", "tcp http2"]);
    let output = command.output().context("starting tshark")?;
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let packets: Value = serde_json::from_slice(&output.stdout)?;
    let mut blocks = Blocks::default();
    for (number, packet) in packets.as_array().context("no packets")?.iter().enumerate() {
        let layers = packet.pointer("/_source/layers").context("no layers")?;
        let port = text(layers.pointer("/tcp/tcp.srcport"))?.parse()?;
        blocks.collect(layers.get("http2").context("no http2")?, port, number)?;
    }
    ensure!(blocks.open.is_empty(), "header blocks without an end: {:?}", blocks.open);
    Ok(blocks.whole)
}

/// Header blocks that were found.
#[derive(Debug, Default)]
struct Blocks {
    whole: Vec<HeaderBlock>,
    /// Those that go on in another frame, by port.
    open: BTreeMap<u16, HeaderBlock>,
}

impl Blocks {
    /// Collects the frames below a value: whatever has a stream.
    fn collect(&mut self, value: &Value, port: u16, packet: usize) -> Result<()> {
        match value {
            Value::Object(frame) if frame.contains_key("http2.streamid") => self.frame(value, port, packet),
            Value::Object(values) => values.values().try_for_each(|value| self.collect(value, port, packet)),
            Value::Array(values) => values.iter().try_for_each(|value| self.collect(value, port, packet)),
            _ => Ok(()),
        }
    }

    fn frame(&mut self, frame: &Value, port: u16, packet: usize) -> Result<()> {
        let kind = text(frame.get("http2.type"))?;
        // HEADERS and CONTINUATION.
        if kind != "1" && kind != "9" {
            return Ok(());
        }
        let stream = text(frame.get("http2.streamid"))?.parse()?;
        let mut block =
            self.open.remove(&port).unwrap_or_else(|| HeaderBlock { port, stream, ..HeaderBlock::default() });
        ensure!(block.stream == stream && (block.frames > 0) == (kind == "9"), "in another block: {frame}");
        block.frames += 1;
        block.packet = packet;
        block.size_updates += items(frame.get("http2.header_table_size_update")).len();
        for field in items(frame.get("http2.header")) {
            block.fields.push((bytes(field, "name")?, bytes(field, "value")?));
            block.representations.push(text(field.get("http2.header.repr"))?.to_owned());
        }
        let flags = text(frame.get("http2.flags"))?;
        let flags = u32::from_str_radix(flags.strip_prefix("0x").context("no hexadecimal flags")?, 16)?;
        if flags & END_HEADERS == 0 {
            self.open.insert(port, block);
        } else {
            self.whole.push(block);
        }
        Ok(())
    }
}

/// Returns the elements of an array; a value of which there is only one is none.
fn items(value: Option<&Value>) -> &[Value] {
    match value {
        None => &[],
        Some(Value::Array(values)) => values,
        Some(value) => std::slice::from_ref(value),
    }
}

fn text(value: Option<&Value>) -> Result<&str> {
    value.and_then(Value::as_str).with_context(|| format!("no text: {value:?}"))
}

/// Returns the bytes of a field's name or value, which are its first "raw" item in hexadecimal. Empty ones have none.
fn bytes(field: &Value, part: &str) -> Result<Vec<u8>> {
    let len: usize = text(field.get(format!("http2.header.{part}.length")))?.parse()?;
    let digits = match field.get(format!("http2.header.{part}_raw")) {
        None => "",
        Some(raw) => text(raw.get(0))?,
    };
    let pair = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    let bytes = digits.as_bytes().chunks(2).map(pair).collect::<Result<Vec<_>>>()?;
    if bytes.len() != len {
        bail!("{part} has {} bytes of {len}: {field}", bytes.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(name: &str, value: Option<&str>) -> Value {
        let mut field = json!({
            "http2.header.name.length": (name.len() / 2).to_string(),
            "http2.header.name_raw": [name, 0, 1, 0, 26],
            "http2.header.value.length": value.map_or(0, |value| value.len() / 2).to_string(),
            "http2.header.repr": "Indexed Header Field",
        });
        if let Some(value) = value {
            field["http2.header.value_raw"] = json!([value, 0, 1, 0, 26]);
        }
        field
    }

    #[test]
    fn a_block_goes_on_until_its_last_frame() {
        let of = |kind: &str, flags: &str, fields: Value| {
            json!({ "http2.stream": {
                "http2.type": kind, "http2.flags": flags, "http2.streamid": "7", "http2.header": fields,
            }})
        };
        let mut blocks = Blocks::default();
        let first = of("1", "0x01", json!([field("61", Some("fc")), field("62", None)]));
        blocks.collect(&json!([of("0", "0x00", Value::Null), first]), 80, 0).unwrap();
        assert!(blocks.whole.is_empty());
        blocks.collect(&of("9", "0x04", field("63", Some("64"))), 80, 3).unwrap();
        let [block] = &blocks.whole[..] else { panic!("{blocks:?}") };
        assert_eq!((block.stream, block.frames, block.packet, block.size_updates), (7, 2, 3, 0));
        let fields = [(&b"a"[..], &b"\xfc"[..]), (b"b", b""), (b"c", b"d")];
        assert_eq!(block.fields, fields.map(|(name, value)| (name.to_vec(), value.to_vec())));
        assert!(blocks.collect(&of("9", "0x04", json!([])), 80, 4).is_err());
    }
}
