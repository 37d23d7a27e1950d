use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{
    alignment::differences,
    request::tests::{ends, request},
    theirs::{Frame, Stream},
};

/// A capture of which both programs followed the connection from port 7, and read the same.
fn same() -> (Ours, Theirs) {
    let requests = vec![request(7, "/1"), request(7, "/2")];
    let ours = Ours {
        requests: requests.clone(),
        marks: vec![BTreeSet::new(); 2],
        connections: [(ends(7), [("a".to_owned(), json!({"address": "10.9.0.1", "port": 7}))].into())].into(),
        ..Ours::default()
    };
    let protocols = "eth:ethertype:ip:tcp:http".split(':').map(str::to_owned).collect();
    let frame = Frame { protocols, is_fragmented: false };
    let numbers = ["0".to_owned()].into();
    let stream = Stream { numbers, is_http: true, has_syn: true, ..Stream::default() };
    let theirs = Theirs { requests, frames: vec![frame.clone(), frame], streams: [(ends(7), stream)].into() };
    (ours, theirs)
}

/// Returns the cause of the only difference.
fn cause(ours: &Ours, theirs: &Theirs, with_other_settings: &[Request]) -> Cause {
    let found = differences(&ours.requests, &theirs.requests);
    assert_eq!(found.len(), 1, "{found:?}");
    Evidence { ours, theirs, with_other_settings }.cause(&found[0])
}

/// Returns the cause why only tshark has the second request, after a change.
fn only_theirs(change: impl FnOnce(&mut Ours, &mut Theirs)) -> Cause {
    let (mut ours, mut theirs) = same();
    ours.requests.pop();
    change(&mut ours, &mut theirs);
    cause(&ours, &theirs, &[])
}

/// Returns the cause why only toa-tc has the second request, after a change.
fn only_ours(change: impl FnOnce(&mut Ours, &mut Theirs)) -> Cause {
    let (mut ours, mut theirs) = same();
    theirs.requests.pop();
    change(&mut ours, &mut theirs);
    cause(&ours, &theirs, &[])
}

fn stream(theirs: &mut Theirs) -> &mut Stream {
    theirs.streams.entry(ends(7)).or_default()
}

#[test]
fn what_nothing_explains_is_unexplained() {
    assert_eq!(only_theirs(|_, _| {}), Cause::Unexplained);
    assert_eq!(only_ours(|_, _| {}), Cause::Unexplained);
    let (mut ours, theirs) = same();
    ours.requests[1].target = "/2?a".to_owned();
    assert_eq!(cause(&ours, &theirs, &[]), Cause::Unexplained);
}

#[test]
fn a_request_that_only_tshark_has_is_explained_by_what_toa_tc_says() {
    let unread = |ours: &mut Ours| (ours.requests.clear(), ours.connections.clear());
    let found = only_theirs(|ours, theirs| {
        unread(ours);
        theirs.requests.pop();
        ours.said = "toa-tc: cannot read a: unsupported link type 9 (PPP)\n".to_owned();
    });
    assert_eq!(found, Cause::LinkType);
    let found = only_theirs(|_, theirs| theirs.frames[1].protocols.insert(2, "l2tp".to_owned()));
    assert_eq!(found, Cause::Tunnel);
    assert_eq!(only_theirs(|ours, _| _ = ours.other.insert(ends(7))), Cause::NotHttp);
    assert_eq!(
        only_theirs(|ours, _| ours.failure = Some("ends within a packet".to_owned())),
        Cause::NotReadFurther
    );
}

#[test]
fn missing_bytes_explain_only_if_both_say_so() {
    let lacks = |of_ours: bool, of_theirs: bool| {
        only_theirs(|ours, theirs| {
            ours.lacks_bytes = of_ours;
            stream(theirs).lacks_bytes = of_theirs;
        })
    };
    assert_eq!(lacks(true, true), Cause::MissingBytes);
    assert_eq!([lacks(true, false), lacks(false, true)], [Cause::Unexplained, Cause::Unexplained]);
    let is_wrong = |is_counted: bool| {
        only_theirs(|ours, theirs| {
            stream(theirs).has_bad_checksum = true;
            ours.remarks.extend(is_counted.then(|| ("bad_checksums".to_owned(), (vec![], false))));
        })
    };
    assert_eq!([is_wrong(true), is_wrong(false)], [Cause::Checksum, Cause::Unexplained]);
    let in_fragments = |is_counted: bool| {
        only_theirs(|ours, theirs| {
            theirs.frames[1].is_fragmented = true;
            ours.remarks.extend(is_counted.then(|| ("fragments".to_owned(), (vec![], false))));
        })
    };
    assert_eq!([in_fragments(true), in_fragments(false)], [Cause::Fragments, Cause::Unexplained]);
}

#[test]
fn a_count_explains_only_what_is_of_its_clients() {
    let counted = |name: &str, port: u16, are_all: bool| {
        let remark = (vec![json!({"address": "10.9.0.1", "port": port})], are_all);
        only_theirs(|ours, _| _ = ours.remarks.insert(name.to_owned(), remark))
    };
    assert_eq!(counted("late_bytes", 7, true), Cause::Counted("late_bytes".to_owned()));
    assert_eq!(counted("late_bytes", 8, true), Cause::Unexplained);
    assert_eq!(counted("late_bytes", 8, false), Cause::Counted("late_bytes".to_owned()));
    // Counts that take nothing away explain nothing.
    assert_eq!(counted("toa_conflicts", 7, true), Cause::Unexplained);
}

#[test]
fn a_connection_is_not_followed_only_if_its_beginning_is_missing() {
    let found = |has_syn| {
        let (mut ours, mut theirs) = same();
        (ours.requests, ours.marks, ours.connections) = (vec![], vec![], [].into());
        theirs.requests.pop();
        stream(&mut theirs).has_syn = has_syn;
        cause(&ours, &theirs, &[])
    };
    assert_eq!([found(false), found(true)], [Cause::NotFollowed, Cause::Unexplained]);
}

#[test]
fn a_request_that_only_toa_tc_has_is_explained_by_its_marks_or_by_tshark() {
    let found = only_ours(|ours, _| _ = ours.marks[1].insert("incomplete".to_owned()));
    assert_eq!(found, Cause::Marked("incomplete".to_owned()));
    assert_eq!(only_ours(|_, theirs| stream(theirs).is_http = false), Cause::OtherPort);
    assert_eq!(only_ours(|ours, _| ours.requests[1].method = "BREW".to_owned()), Cause::OtherMethod);
    assert_eq!(
        only_ours(|_, theirs| _ = stream(theirs).numbers.insert("1".to_owned())),
        Cause::OtherConnections
    );
    let (ours, mut theirs) = same();
    theirs.requests.pop();
    assert_eq!(cause(&ours, &theirs, &ours.requests), Cause::Reassembly);
}

#[test]
fn the_events_of_toa_tc_are_understood() {
    let ends_of =
        r#""network":{"peer":{"address":"10.9.0.1","port":7}},"server":{"address":"10.9.0.2","port":80}"#;
    let client = r#""client":{"address":"192.0.2.1","port":9}"#;
    let lines = [
        format!(r#"{{"event":"connection",{client},{ends_of},"connection":{{"id":"a","preview":null}}}}"#),
        format!(
            r#"{{"event":"request",{client},{ends_of},"http":{{"request":{{"method":"GET","header":{{}}}}}},"url":{{"original":"/1"}},"incomplete":{{"reason":"gap"}},"malformed":null,"reopened":false}}"#
        ),
        format!(r#"{{"event":"connection",{client},{ends_of},"connection":{{"id":"a","preview":"SSH"}}}}"#),
        r#"{"event":"ledger","gaps":{"count":1},"bytes":{"cut":0},"incomplete":0,"remarks":{"late_bytes":{"count":1,"clients":[{"address":"192.0.2.1","port":9}]},"signed":{"count":0,"clients":[]}}}"#
            .to_owned(),
    ];
    let ours = Ours::parse(&lines.join("\n")).unwrap();
    assert_eq!(ours.requests, [request(7, "/1")]);
    assert_eq!(ours.marks, [BTreeSet::from(["incomplete".to_owned()])]);
    assert!(ours.other.contains(&ends(7)) && ours.lacks_bytes);
    assert_eq!(ours.remarks_of(ends(7)).collect::<Vec<_>>(), ["late_bytes"]);
    assert_eq!(ours.remarks_of(ends(8)).count(), 0);
}
