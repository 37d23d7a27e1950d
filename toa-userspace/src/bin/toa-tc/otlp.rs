//! Sends requests to a receiver of OpenTelemetry, in builds with the feature `otlp`.

#[cfg(any(not(feature = "otlp"), test))]
#[cfg_attr(feature = "otlp", expect(dead_code, reason = "tested in every build"))]
mod absent;
#[cfg(feature = "otlp")]
mod endpoint;
#[cfg(feature = "otlp")]
mod exporter;
#[cfg(feature = "otlp")]
mod queue;

#[cfg(not(feature = "otlp"))]
pub(crate) use absent::{Endpoint, Exporter, Queue};
#[cfg(feature = "otlp")]
pub(crate) use {endpoint::Endpoint, exporter::Exporter, queue::Queue};
