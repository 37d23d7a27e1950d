//! Compares what the tool printed with what nginx logged.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::sent::{ID_DIGITS, Sent};
use crate::peers::nginx::Logged;

/// What a request is recognised by: its line without the version, and the fields `x-request-id` and `x-team`.
type Key = (String, String, String);

/// Differences between nginx and the tool, each with its connection and an explanation.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Requests that nginx logged of watched clients.
    pub logged: usize,
    /// Of those, requests that were printed without a mark.
    pub unmarked: usize,
    /// Printed requests with a mark, by mark.
    pub marked: BTreeMap<String, usize>,
    /// Requests that were not printed on connections whose first request came in part before their client was named.
    /// What follows that hole waits, and may be in conflict with what a server takes for a copy of old bytes.
    pub late: usize,
    /// Of those, first requests on connections of which neither a gap nor a conflict was printed.
    pub unmentioned: usize,
    /// Requests that were printed without a mark, but that the server did not read because a reset came first, of which its
    /// socket discards what waits to be read.
    pub unread: usize,
    /// Requests with other bytes than the server read that were printed without a mark, because no packet had named the
    /// client when the true ones came.
    pub unseen: usize,
    /// Requests that were not printed, on connections of which a gap was printed.
    pub in_gap: usize,
    /// Heads that ended before their target, according to the ledger.
    pub unfinished: usize,
    /// Requests that were not printed because the bytes that made them requests were in conflict with others.
    pub in_conflict: usize,
    /// Requests whose lines were printed as fields of a marked one: no packet had named the client when the end of that
    /// one's head came, and a keep-alive probe has another byte there.
    pub swallowed: usize,
    /// All others that differ.
    pub faults: Vec<(u32, String)>,
}

impl Verdict {
    /// Adds a request that was printed without a mark although the server did not log it.
    fn add_unlogged(&mut self, request: &Printed, connection: &Sent) {
        let is_forged = request.key.0.contains("/forged/");
        if is_reset(connection) && !is_forged {
            self.unread += 1;
        } else if connection.is_late && (is_forged || request.key.0.ends_with("/0")) {
            self.unseen += 1;
        } else {
            self.faults.push((connection.id, format!("printed without a mark: {:?}", request.key)));
        }
    }
}

/// Returns whether the connection was reset.
fn is_reset(connection: &Sent) -> bool {
    connection.trace.iter().any(|line| line == "the server resets")
}

/// Returns whether a forged segment had an ACK number so old that a server may discard it, or not.
fn has_old_ack(connection: &Sent) -> bool {
    connection.trace.iter().any(|line| line.starts_with("AncientAck"))
}

/// A request as the tool printed it.
struct Printed {
    key: Key,
    /// The connection's number, from the target or, if that is garbled, from `x-request-id`.
    id: Option<u32>,
    client: SocketAddr,
    is_of_doubtful_client: bool,
    mark: Option<String>,
    /// The values of `x-request-id` after the first.
    other_ids: Vec<String>,
}

/// Compares `output`, the objects that the tool printed, with nginx's log. `is_watched` says of which clients requests
/// must be printed.
pub fn compare(
    sent: &[Sent],
    logged: &[Logged],
    output: &str,
    is_watched: impl Fn(SocketAddr) -> bool,
) -> Result<Verdict> {
    let connections: HashMap<u32, &Sent> = sent.iter().map(|sent| (sent.id, sent)).collect();
    let mut verdict = Verdict::default();
    let (mut printed, mut with_gap) = (Vec::new(), HashSet::new());
    let (mut with_conflict, mut doubted) = (HashSet::new(), HashSet::new());
    for line in output.lines() {
        let object: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        match object.get("event").and_then(Value::as_str) {
            Some("request") => printed.push(Printed::parse(&object).with_context(|| line.to_owned())?),
            Some("ledger") => {
                let count = object.pointer("/remarks/unfinished_heads/count");
                verdict.unfinished = usize::try_from(count.and_then(Value::as_u64).unwrap_or_default())?;
            }
            Some("gap") => _ = with_gap.insert(endpoint(object.get("client"))?),
            Some("conflict") => {
                with_conflict.insert(endpoint(object.get("client"))?);
                // A forged TOA may have given the connection another client.
                doubted.insert(endpoint(object.pointer("/network/peer"))?);
            }
            _ => {}
        }
    }
    let mut open: HashMap<Key, i64> = HashMap::new();
    for logged in logged {
        *open.entry(Key::of(logged)).or_default() += 1;
    }
    // Of a request that it refuses, nginx logs only the line.
    let mut refused: HashMap<String, i64> = HashMap::new();
    for logged in logged.iter().filter(|logged| logged.status >= 400) {
        *refused.entry(Key::of(logged).0).or_default() += 1;
    }
    let swallowed = swallowed(&printed);
    let mut marked_targets: HashMap<String, i64> = HashMap::new();
    let lines: HashSet<String> = logged.iter().map(|logged| Key::of(logged).0).collect();
    // Marked requests with a target that nginx has not logged: it is incomplete, or garbled by conflicting bytes.
    let mut marked_otherwise: HashMap<SocketAddr, i64> = HashMap::new();
    for request in &printed {
        if request.mark.is_some() && !lines.contains(&request.key.0) {
            *marked_otherwise.entry(request.client).or_default() += 1;
        }
        let Some(connection) = request.id.and_then(|id| connections.get(&id)) else {
            // A target that was garbled by conflicting bytes.
            if request.mark.is_none() && !open.contains_key(&request.key) {
                verdict.faults.push((0, format!("printed without a mark: {:?}", request.key)));
            }
            continue;
        };
        // What the client did not send itself may be found on a connection that took the same port.
        let is_own = request.mark.is_none() || request.key.0.contains("/own/");
        if is_own && request.client != connection.client && !request.is_of_doubtful_client {
            let text = format!("printed with the client {}: {:?}", request.client, request.key);
            verdict.faults.push((connection.id, text));
        }
        if let Some(mark) = &request.mark {
            *verdict.marked.entry(mark.clone()).or_default() += 1;
            *marked_targets.entry(request.key.0.clone()).or_default() += 1;
        }
        let left = open.entry(request.key.clone()).or_default();
        *left -= 1;
        let is_refused = refused.get_mut(&request.key.0).is_some_and(|left| {
            *left -= 1;
            *left >= 0
        });
        if request.mark.is_none() && (*left >= 0 || !is_refused) {
            verdict.unmarked += usize::from(*left >= 0);
            if *left < 0 {
                verdict.add_unlogged(request, connection);
            }
        }
    }
    for request in logged {
        let key = Key::of(request);
        let Some(connection) = id_of(&key.0).and_then(|id| connections.get(&id)) else { continue };
        if !is_watched(connection.client) || !(200..300).contains(&request.status) {
            continue;
        }
        verdict.logged += 1;
        let left = open.entry(key.clone()).or_default();
        if *left <= 0 {
            continue;
        }
        *left -= 1;
        // A marked request may have other fields.
        let marked = marked_targets.entry(key.0.clone()).or_default();
        let otherwise = marked_otherwise.entry(connection.client).or_default();
        let is_mentioned =
            with_gap.contains(&connection.client) || with_conflict.contains(&connection.client);
        if *marked > 0 {
            *marked -= 1;
        } else if *otherwise > 0 {
            *otherwise -= 1;
        } else if connection.is_late && (is_mentioned || key.0.ends_with("/0")) {
            verdict.late += 1;
            verdict.unmentioned += usize::from(!is_mentioned);
        } else if connection.is_late && swallowed.contains(key.1.as_str()) {
            verdict.swallowed += 1;
        } else if !key.0.contains("/own/") && with_conflict.contains(&connection.client) {
            // A body, unless the head before has other bytes.
            verdict.in_conflict += 1;
        } else if has_old_ack(connection) && doubted.contains(&connection.peer) {
            // It follows bytes that the server may have discarded.
            verdict.in_conflict += 1;
        } else if with_gap.contains(&connection.client) {
            verdict.in_gap += 1;
        } else {
            verdict.faults.push((connection.id, format!("not printed: {key:?}")));
        }
    }
    Ok(verdict)
}

/// Returns the `x-request-id` of requests whose lines are fields of a marked one.
fn swallowed(printed: &[Printed]) -> HashSet<&str> {
    let marked = printed.iter().filter(|request| request.mark.is_some());
    marked.flat_map(|request| request.other_ids.iter().map(String::as_str)).collect()
}

/// The making of a [`Key`].
trait Of {
    fn of(logged: &Logged) -> Key;
}

impl Of for Key {
    fn of(logged: &Logged) -> Key {
        let line = logged.request.rsplit_once(' ').map_or(logged.request.as_str(), |(line, _)| line);
        (line.to_owned(), logged.request_id.clone(), logged.team.clone())
    }
}

impl Printed {
    fn parse(object: &Value) -> Result<Self> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = format!("{} {}", text("/http/request/method"), text("/url/original"));
        let field = |name: &str| text(&format!("/http/request/header/{name}/0"));
        let is_set = |name: &str| {
            object.get(name).is_some_and(|value| !value.is_null() && value != &Value::Bool(false))
        };
        let marks =
            ["incomplete", "malformed", "resynchronized", "reopened", "possibly_unread", "framing_fault"];
        let mark = marks.into_iter().find(|name| is_set(name)).map(str::to_owned);
        let conflicting = object.get("conflicting").and_then(Value::as_str);
        let ids = object.pointer("/http/request/header/x-request-id").and_then(Value::as_array);
        let ids = ids.into_iter().flatten().skip(1).filter_map(Value::as_str);
        Ok(Self {
            other_ids: ids.map(str::to_owned).collect(),
            id: id_of(&line).or_else(|| field("x-request-id").get(..ID_DIGITS)?.parse().ok()),
            key: (line, field("x-request-id"), field("x-team")),
            client: endpoint(object.get("client"))?,
            is_of_doubtful_client: conflicting.is_some_and(|what| what.contains("client")),
            mark: mark.or_else(|| conflicting.map(|what| format!("conflicting {what}"))),
        })
    }
}

/// Returns the number of the connection that a request line names.
fn id_of(line: &str) -> Option<u32> {
    line.split('/').nth(2).filter(|id| id.len() == ID_DIGITS)?.parse().ok()
}

fn endpoint(value: Option<&Value>) -> Result<SocketAddr> {
    let value = value.context("no endpoint")?;
    let address = value.get("address").and_then(Value::as_str).context("no address")?;
    let port = value.get("port").and_then(Value::as_u64).unwrap_or_default();
    Ok(SocketAddr::new(address.parse()?, u16::try_from(port)?))
}
