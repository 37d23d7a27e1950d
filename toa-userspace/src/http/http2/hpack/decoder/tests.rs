use super::*;

/// Decodes blocks, given as hexadecimal digits, one after the other. Returns the fields of the last one.
fn fields(decoder: &mut Decoder, block: &str, step: usize) -> Result<Vec<String>, CompressionError> {
    let digits: Vec<char> = block.chars().filter(|it| !it.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let (mut found, mut kept, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        kept.extend_from_slice(piece);
        let read = decoder.decode(&kept, 0, &mut memory, &mut |item| {
            found.push(match item {
                Item::Field { name, value } => {
                    format!("{}: {}", name.unwrap_or(b"?").escape_ascii(), value.escape_ascii())
                }
                other => format!("{other:?}"),
            });
        })?;
        kept.drain(..read);
    }
    assert_eq!(kept, b"");
    Ok(found)
}

/// RFC 7541 appendices C.3 and C.4: three requests on one connection, without and with Huffman coding.
const REQUESTS: [[&str; 3]; 2] = [
    [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
    [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
];

const LISTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn requests_are_decoded_as_in_the_appendix() {
    for blocks in REQUESTS {
        for step in [1, 2, 3, 1000] {
            let mut decoder = Decoder::default();
            for (block, list) in blocks.iter().zip(LISTS) {
                assert_eq!(fields(&mut decoder, block, step).unwrap(), list, "{step}");
            }
        }
    }
}

#[test]
fn single_fields_are_decoded_as_in_the_appendix() {
    // RFC 7541 appendix C.2: an entry, none, one that must never be one, an index.
    for (block, field, is_entry) in [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header", true),
        ("040c2f73616d706c652f70617468", ":path: /sample/path", false),
        ("100870617373776f726406736563726574", "password: secret", false),
        ("82", ":method: GET", false),
    ] {
        let mut decoder = Decoder::default();
        assert_eq!(fields(&mut decoder, block, 5).unwrap(), [field]);
        assert_eq!(fields(&mut decoder, "be", 1).is_ok(), is_entry, "{field}");
    }
}

#[test]
fn entries_are_dropped_as_in_the_appendix() {
    // RFC 7541 appendix C.5, with its table of 256 bytes; only the fields that the eviction matters for.
    let mut decoder = Decoder::default();
    let first = "3fe101 4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54\
        6e1768747470733a2f2f7777772e6578616d706c652e636f6d";
    assert_eq!(fields(&mut decoder, first, 7).unwrap().len(), 4);
    assert_eq!(
        fields(&mut decoder, "4803333037c1c0bf", 1).unwrap()[..2],
        [":status: 307", "cache-control: private"]
    );
    let third = "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a6970\
        7738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31";
    let list = fields(&mut decoder, third, 9).unwrap();
    assert_eq!(list.last().unwrap(), "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    assert_eq!(fields(&mut decoder, "bebfc0", 1).unwrap()[1], "content-encoding: gzip");
    assert_eq!(fields(&mut decoder, "c1", 1), Err(CompressionError));
}

#[test]
fn what_refers_to_unseen_entries_is_unknown() {
    let mut decoder = Decoder::joined();
    let blocks = REQUESTS[0];
    assert_eq!(fields(&mut decoder, blocks[2], 1).unwrap()[3..], ["Unknown", "custom-key: custom-value"]);
    // The name of an unseen entry, a new entry with it, and then both indices.
    assert_eq!(
        fields(&mut decoder, "7f0001 61 be bf", 3).unwrap(),
        ["?: a", "?: a", "custom-key: custom-value"]
    );
    assert_eq!(fields(&mut decoder, "c0", 1).unwrap(), ["Unknown"]);
    // An empty table has no unknown entries.
    assert_eq!(fields(&mut decoder, "20 82", 1).unwrap(), [":method: GET"]);
    assert_eq!(fields(&mut decoder, "be", 1), Err(CompressionError));
}

#[test]
fn strings_beyond_the_limit_are_passed_over() {
    // Of 16,385 bytes, as a value, and as a name before a value.
    let long = format!("7f827f{}", "61".repeat(16_385));
    for (before, after) in
        [("40", "00"), ("40", "0161"), ("00", "00"), ("400161", ""), ("000161", ""), ("5f", "")]
    {
        for step in [1, 4000] {
            let mut decoder = Decoder::default();
            fields(&mut decoder, "4001610162", 1).unwrap();
            let found = fields(&mut decoder, &format!("{before}{long}{after}82"), step).unwrap();
            assert_eq!(found, ["TooLong", ":method: GET"], "{before} {step}");
            // As an entry, it empties the table.
            assert_eq!(fields(&mut decoder, "be", 1).is_ok(), before.starts_with('0'), "{before} {step}");
        }
    }
}

#[test]
fn what_is_wrong_is_an_error() {
    for block in [
        // Index 0, no entry, an integer of too many bytes, a string that never ends.
        "80",
        "be",
        "ffffffffffffffffff",
        "7fffffffff7f",
        // Wrong padding.
        "40811801 61",
        "400161 82ffff",
    ] {
        assert_eq!(fields(&mut Decoder::default(), block, 100), Err(CompressionError), "{block}");
    }
    let mut decoder = Decoder::default();
    assert_eq!(fields(&mut decoder, "3fe1ffffff07", 1).unwrap(), ["LargeTable(2147483648)"]);
}
