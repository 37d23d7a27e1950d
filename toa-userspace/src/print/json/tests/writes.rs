use super::*;

#[test]
fn an_object_is_one_write() {
    struct Writes(Vec<Vec<u8>>);
    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_owned());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut json =
        Json::new(Writes(Vec::new()), Redactor::default(), "web-17".to_owned(), Box::new(|_| None));
    json.event(&connection(), &Event::Opened);
    json.event(&connection(), &Event::Request(&request(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")));
    json.event(&connection(), &Event::Closed(Closed::Fin));
    let Writes(writes) = json.writer();
    assert_eq!(writes.len(), 3);
    for bytes in writes {
        let line = std::str::from_utf8(bytes).unwrap().strip_suffix('\n').unwrap();
        assert!(serde_json::from_str::<Value>(line).unwrap().is_object());
    }
}
