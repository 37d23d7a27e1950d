use super::*;

#[test]
fn times_follow_a_wall_clock_that_is_set() {
    let (connection, mut json) = (connection(), printer(Redactor::default()));
    for shift_ns in [0, 3_600_000_000_000, -1] {
        json.shift_times(shift_ns);
        json.event(&connection, &Event::Request(&request(b"GET / HTTP/1.1\r\n\r\n")));
    }
    let lines = lines(&mut json);
    let times: Vec<_> = lines.iter().map(|line| line["timestamp"].as_str().unwrap()).collect();
    let expected = ["07:43:27.123456789", "08:43:27.123456789", "07:43:27.123456788"];
    assert_eq!(times, expected.map(|time| format!("2026-11-22T{time}Z")));
}
