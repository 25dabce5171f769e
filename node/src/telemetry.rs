//! Logs, traces and their context across nodes.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

const TRACEPARENT: &str = "traceparent";

/// What is told, and where to.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// One JSON object a line instead of text for people.
    pub json: bool,
    /// OTLP collector for traces and metrics, such as `http://127.0.0.1:4317`; empty = none.
    pub otlp: String,
    /// Named in every trace and metric.
    pub node_id: u64,
    /// Likewise.
    pub region: String,
}

impl Telemetry {
    /// Who speaks.
    pub fn resource(&self) -> Resource {
        Resource::builder()
            .with_service_name("meridian-node")
            .with_attributes([
                opentelemetry::KeyValue::new("meridian.node", self.node_id as i64),
                opentelemetry::KeyValue::new("meridian.region", self.region.clone()),
            ])
            .build()
    }

    /// Starts logging for the process, and tracing where a collector is named. Keep the result until the end
    /// and call [`Running::stop`], or the last spans are lost.
    ///
    /// # Errors
    /// The collector's address is no address, or logging was started before.
    pub fn start(&self) -> Result<Running, Box<dyn std::error::Error + Send + Sync>> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
            EnvFilter::new("info,openraft=error,h2=warn,tower=warn,hyper=warn")
        });
        let text =
            (!self.json).then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
        let json = self.json.then(|| {
            tracing_subscriber::fmt::layer()
                .json()
                .with_writer(std::io::stderr)
        });
        let traces = if self.otlp.is_empty() {
            None
        } else {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(self.otlp.clone())
                .build()?;
            Some(
                SdkTracerProvider::builder()
                    .with_batch_exporter(exporter)
                    .with_resource(self.resource())
                    .build(),
            )
        };
        let spans = traces
            .as_ref()
            .map(|t| tracing_opentelemetry::layer().with_tracer(t.tracer("meridian")));
        tracing_subscriber::registry()
            .with(filter)
            .with(text)
            .with(json)
            .with(spans)
            .try_init()?;
        Ok(Running { traces })
    }
}

/// Telemetry that runs.
pub struct Running {
    traces: Option<SdkTracerProvider>,
}

impl Running {
    /// Sends what is left.
    pub fn stop(self) {
        if let Some(traces) = self.traces
            && let Err(e) = traces.shutdown()
        {
            tracing::warn!(error = %e, "the last spans were not sent");
        }
    }
}

/// Makes a span a child of the W3C context given; an empty or malformed one is ignored.
pub fn follow(span: &Span, traceparent: &str) {
    if !traceparent.is_empty() {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        // Refused only for a span that is not recorded, which then needs no parent.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
}

/// The W3C context of a span, empty when it is not traced.
pub fn traceparent(span: &Span) -> String {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT).unwrap_or_default()
}
