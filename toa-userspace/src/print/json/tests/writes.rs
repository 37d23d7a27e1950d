use super::*;
use crate::print::tests::Writes;

#[test]
fn an_object_is_one_write() {
    let mut json = Json::new(Writes::default(), Redactor::default(), "web-17".to_owned(), Box::new(|_| None));
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

#[test]
fn a_failing_writer_is_told_once() {
    struct Broken(u32);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut json = Json::new(Broken(0), Redactor::default(), String::new(), Box::new(|_| None));
    json.event(&connection(), &Event::Opened);
    json.event(&connection(), &Event::Opened);
    assert_eq!(json.writer().0, 1);
    assert_eq!(json.take_error().unwrap().kind(), io::ErrorKind::BrokenPipe);
    assert!(json.take_error().is_none());
}
