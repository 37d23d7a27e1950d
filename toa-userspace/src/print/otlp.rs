//! Requests as log records of OpenTelemetry (OTLP), made from the lines of [`super::json`], whose names follow its semantic
//! conventions: what is redacted and escaped there is so here.
//!
//! <https://github.com/open-telemetry/opentelemetry-proto>, <https://opentelemetry.io/docs/specs/semconv/>

use jiff::Timestamp;
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message as _;
use serde_json::{Map, Value};

/// The name of this program as an instrumented service, and as an instrumentation.
const NAME: &str = "toa-tc";

/// The namespace of what the semantic conventions have no name for.
const OWN: &str = "toa_tc.";

/// The objects of a line whose names are those of the semantic conventions.
const CONVENTIONAL: [&str; 5] = ["client", "http", "network", "server", "url"];

/// The methods that `http.request.method` may have; any other one is `_OTHER` there.
const METHODS: [&str; 10] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];

/// Returns the body of an export of the requests on these lines, as of `time_ns` nanoseconds since the Unix epoch, and how
/// many there are.
pub fn export(lines: &[u8], host_name: &str, time_ns: u64) -> (Vec<u8>, usize) {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let log_records: Vec<_> = lines.map(|line| record(line, time_ns)).collect();
    let count = log_records.len();
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        attribute("host.name", text(host_name)),
        attribute("service.name", text(NAME)),
        attribute("service.version", text(version)),
    ];
    let scope =
        InstrumentationScope { name: NAME.to_owned(), version: version.to_owned(), ..Default::default() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..Default::default() }];
    let resource = Some(Resource { attributes, ..Default::default() });
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..Default::default() }];
    (ExportLogsServiceRequest { resource_logs }.encode_to_vec(), count)
}

/// Returns how many records a receiver has rejected although it has accepted the export, and why.
pub fn rejected(response: &[u8]) -> Option<(u64, String)> {
    let ExportLogsPartialSuccess { rejected_log_records, error_message } =
        ExportLogsServiceResponse::decode(response).ok()?.partial_success?;
    let count = u64::try_from(rejected_log_records).ok().filter(|count| *count > 0)?;
    Some((count, error_message))
}

fn record(line: &[u8], time_ns: u64) -> LogRecord {
    // Lines are ours. Should one be no object, its record has no attributes, and is counted like the others.
    let mut object: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
    let timestamp = object.remove("timestamp");
    let timestamp = timestamp.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
    let event = object.remove("event");
    let event = event.as_ref().and_then(Value::as_str).unwrap_or_default();
    // It is an attribute of the resource.
    object.remove("host");
    let mut attributes = Vec::new();
    for (name, value) in object {
        let is_own = !CONVENTIONAL.contains(&name.as_str());
        flatten(if is_own { format!("{OWN}{name}") } else { name }, value, &mut attributes);
    }
    LogRecord {
        time_unix_nano: timestamp.map_or(time_ns, nanoseconds),
        observed_time_unix_nano: time_ns,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        event_name: format!("{OWN}{event}"),
        attributes,
        ..Default::default()
    }
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

/// Adds a value, or the values in it, each by its path. What is not there, or not so, is left out.
fn flatten(name: String, value: Value, attributes: &mut Vec<KeyValue>) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Object(object) => {
            for (key, value) in object {
                flatten(format!("{name}.{key}"), value, attributes);
            }
        }
        Value::String(method) if name == "http.request.method" => {
            if METHODS.contains(&method.as_str()) {
                attributes.push(attribute(&name, text(&method)));
            } else {
                attributes.push(attribute(&name, text("_OTHER")));
                attributes.push(attribute("http.request.method_original", text(&method)));
            }
        }
        value => {
            if name == "http.request.header.user-agent"
                && let Some(agent) = value.get(0).and_then(Value::as_str)
            {
                attributes.push(attribute("user_agent.original", text(agent)));
            }
            attributes.push(attribute(&name, any(value)));
        }
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}

fn any(value: Value) -> any_value::Value {
    match value {
        Value::Bool(value) => any_value::Value::BoolValue(value),
        Value::Array(values) => {
            let values = values.into_iter().map(|value| AnyValue { value: Some(any(value)) }).collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        }
        Value::String(text) => any_value::Value::StringValue(text),
        other => match other.as_i64() {
            Some(number) => any_value::Value::IntValue(number),
            None => text(&other.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME_NS: u64 = 1_795_333_408_000_000_000;

    /// Returns the attributes of a record, each as `name=value`.
    fn attributes(record: &LogRecord) -> Vec<String> {
        let shown = |value: &any_value::Value| match value {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::BoolValue(value) => value.to_string(),
            any_value::Value::ArrayValue(array) => {
                let text = |value: &AnyValue| match &value.value {
                    Some(any_value::Value::StringValue(text)) => text.clone(),
                    other => panic!("{other:?}"),
                };
                array.values.iter().map(text).collect::<Vec<_>>().join("|")
            }
            other => panic!("{other:?}"),
        };
        let of = |it: &KeyValue| {
            format!("{}={}", it.key, shown(it.value.as_ref().unwrap().value.as_ref().unwrap()))
        };
        record.attributes.iter().map(of).collect()
    }

    fn exported(lines: &[u8]) -> ExportLogsServiceRequest {
        let (body, count) = export(lines, "web-17", TIME_NS);
        let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
        assert_eq!(request.resource_logs[0].scope_logs[0].log_records.len(), count);
        request
    }

    #[test]
    fn a_request_has_the_names_of_the_semantic_conventions() {
        let line = concat!(
            r#"{"event":"request","timestamp":"2026-11-22T07:43:27.123456789Z","host":{"name":"web-17"},"#,
            r#""client":{"address":"120.120.111.111","port":44208},"#,
            r#""network":{"peer":{"address":"10.9.0.1","port":37608},"interface":{"name":"eth0"},"#,
            r#""protocol":{"name":"http","version":"1.1"}},"#,
            r#""server":{"address":"10.9.0.2","port":80},"proxy":null,"#,
            r#""http":{"request":{"method":"GET","header":{"user-agent":["curl/8"],"x-via":["a","b"]}}},"#,
            r#""url":{"original":"/orders?id=7","path":"/orders","query":"id=7"},"#,
            r#""toa":{"kind":254,"length":8,"learned_from":"syn","ambiguous":false},"#,
            r#""connection":{"id":"abcdef-3","request":1},"#,
            r#""incomplete":null,"malformed":null,"resynchronized":true,"framing_fault":null}"#,
            "\n",
        );
        let request = exported(line.as_bytes());
        let logs = &request.resource_logs[0];
        let resource =
            LogRecord { attributes: logs.resource.clone().unwrap().attributes, ..Default::default() };
        let version = format!("service.version={}", env!("CARGO_PKG_VERSION"));
        assert_eq!(attributes(&resource), ["host.name=web-17", "service.name=toa-tc", &version]);
        let record = &logs.scope_logs[0].log_records[0];
        assert_eq!(record.time_unix_nano, 1_795_333_407_123_456_789);
        assert_eq!((record.observed_time_unix_nano, record.event_name.as_str()), (TIME_NS, "toa_tc.request"));
        let mut found = attributes(record);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "client.address=120.120.111.111",
                "client.port=44208",
                "http.request.header.user-agent=curl/8",
                "http.request.header.x-via=a|b",
                "http.request.method=GET",
                "network.interface.name=eth0",
                "network.peer.address=10.9.0.1",
                "network.peer.port=37608",
                "network.protocol.name=http",
                "network.protocol.version=1.1",
                "server.address=10.9.0.2",
                "server.port=80",
                "toa_tc.connection.id=abcdef-3",
                "toa_tc.connection.request=1",
                "toa_tc.resynchronized=true",
                "toa_tc.toa.kind=254",
                "toa_tc.toa.learned_from=syn",
                "toa_tc.toa.length=8",
                "url.original=/orders?id=7",
                "url.path=/orders",
                "url.query=id=7",
                "user_agent.original=curl/8",
            ]
        );
    }

    #[test]
    fn a_method_that_nobody_knows_is_another_one() {
        let request = exported(b"{\"http\":{\"request\":{\"method\":\"PURGE\"}}}\n");
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(attributes(record), ["http.request.method=_OTHER", "http.request.method_original=PURGE"]);
    }

    #[test]
    fn what_a_receiver_rejects_is_read() {
        let response = |rejected_log_records| {
            let error_message = "too old".to_owned();
            let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        };
        assert_eq!(rejected(&response(3)), Some((3, "too old".to_owned())));
        assert_eq!((rejected(&response(0)), rejected(b""), rejected(b"<html>")), (None, None, None));
    }
}
