//! The time zone of times that people read.

use super::{File, Result, capture, text, tool};

#[test]
fn a_time_zone_that_cannot_be_found_is_one_line_and_times_have_their_offset() -> Result {
    let file = File::new("zone", &capture())?;
    let read = |zone: &str| tool().arg("read").arg(&file.0).arg("--any").env("TZ", zone).output();
    let output = read("No/Such_Zone")?;
    assert!(text(&output.stdout).starts_with("07:43:27.500000+00:00 120.120.111.111:44208 > "), "{output:?}");
    let said = text(&output.stderr);
    let expected = "toa-tc: cannot find the time zone \"No/Such_Zone\" of the variable TZ: ";
    assert_eq!((said.starts_with(expected), said.matches("time zone").count()), (true, 1), "{said}");
    for (zone, time) in [("", "07:43:27.500000 "), ("CST-8", "15:43:27.500000 ")] {
        let output = read(zone)?;
        assert!(zone.is_empty() || text(&output.stdout).starts_with(time), "{output:?}");
        assert!(!text(&output.stderr).contains("time zone"), "{output:?}");
    }
    Ok(())
}
