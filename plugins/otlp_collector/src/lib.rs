//! `otlp_collector`: sends what ends as OpenTelemetry traces and metrics by OTLP/HTTP in protobuf. Spans are in `traces`,
//! figures in `metrics`; here is the sending, and what the answers of a receiver mean.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use apflow_sdk::http::Request;
use apflow_sdk::prelude::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

mod metrics;
mod settings;
mod traces;
mod wire;

use metrics::Figures;
use settings::Settings;

/// The figures since this instance began, and how far the event log is counted.
struct OtlpCollector {
    /// Highest sequence number that was counted; the log's numbers begin at 1.
    counted: u64,
    figures: Figures,
    /// Tells the figures of this instance from those of another one.
    instance: String,
    /// Nanoseconds since 1970.
    began: u64,
}

impl Default for OtlpCollector {
    fn default() -> Self {
        Self {
            counted: 0,
            figures: Figures::default(),
            instance: format!("{:016x}", RandomState::new().hash_one(0)),
            began: now(),
        }
    }
}

impl Collector for OtlpCollector {
    /// A batch that comes again has the same spans, and is not counted again.
    fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure> {
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        for measured in batch {
            if measured.sequence > self.counted {
                self.figures.count(measured);
                self.counted = measured.sequence;
            }
        }
        let resource = self.resource(&settings);
        if settings.traces {
            let spans: Vec<Span> =
                batch.iter().filter_map(|one| traces::span(one).transpose()).collect::<Result<_, _>>()?;
            if !spans.is_empty() {
                send_traces(&settings, resource.clone(), spans)?;
            }
        }
        if settings.metrics {
            self.send_metrics(&settings, resource)?;
        }
        Ok(())
    }
}

apflow_sdk::export_collector!(OtlpCollector);

impl OtlpCollector {
    fn resource(&self, settings: &Settings) -> Resource {
        let own = [("service.name", &settings.service_name), ("service.instance.id", &self.instance)];
        let own = own.into_iter().filter(|(name, _)| !settings.resource.contains_key(*name));
        let set = settings.resource.iter().map(|(name, value)| (name.as_str(), value));
        let attributes = own.chain(set).map(|(name, value)| wire::attribute(name, value.as_str()));
        Resource { attributes: attributes.collect(), ..Resource::default() }
    }

    fn send_metrics(&self, settings: &Settings, resource: Resource) -> Result<(), Failure> {
        let metrics = self.figures.metrics(self.began, now());
        let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
        let all = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![all] };
        send(settings, "/v1/metrics", request.encode_to_vec()).map(drop)
    }
}

fn send_traces(settings: &Settings, resource: Resource, spans: Vec<Span>) -> Result<(), Failure> {
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
    let all = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![all] };
    let answer = send(settings, "/v1/traces", request.encode_to_vec())?;
    let partly =
        ExportTraceServiceResponse::decode(answer.as_slice()).ok().and_then(|one| one.partial_success);
    if let Some(partly) = partly.filter(|partly| partly.rejected_spans > 0) {
        // To send them again is what the protocol forbids.
        let (spans, why) = (partly.rejected_spans, partly.error_message);
        apflow_sdk::warn!("The receiver refused {spans} spans: {why}");
    }
    Ok(())
}

/// Sends one request and gives the body of the answer. A receiver that finds the request malformed will do so again, so it is
/// logged and dropped, as the protocol wants; everything else is tried again.
fn send(settings: &Settings, path: &str, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let url = format!("{}{path}", settings.endpoint);
    let mut request = Request::post(&url)
        .header("content-type", "application/x-protobuf")
        .timeout(settings.timeout)
        .max_redirects(0)
        .body(body);
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    let answer = request.send()?;
    match answer.head.status {
        200..300 => Ok(answer.body),
        400 => {
            apflow_sdk::error!("{url} answered 400 and will not have this batch: {}", answer.text());
            Ok(Vec::new())
        }
        status => Err(Failure::retryable("otlp_status", format!("{url} answered {status}"), None)),
    }
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("apflow".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

#[expect(clippy::disallowed_methods, reason = "a component's clock is what the host gives it")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(wire::span_nanos).unwrap_or_default()
}
