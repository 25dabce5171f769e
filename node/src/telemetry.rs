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
const TRACESTATE: &str = "tracestate";
const TRACEPARENT_MAX: usize = 128;
const TRACESTATE_MAX: usize = 512;

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
        let filter = || {
            EnvFilter::try_from_default_env().unwrap_or_else(|_| {
                EnvFilter::new("info,openraft=error,h2=warn,tower=warn,hyper=warn")
            })
        };
        let text = (!self.json).then(|| {
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_filter(filter())
        });
        let json = self.json.then(|| {
            tracing_subscriber::fmt::layer()
                .json()
                .with_writer(std::io::stderr)
                .with_filter(filter())
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
            // Whatever is logged, every span of this program is traced, and none of what sends them.
            .map(|t| {
                tracing_opentelemetry::layer()
                    .with_tracer(t.tracer("meridian"))
                    .with_filter(EnvFilter::new("off,meridian_node=info"))
            });
        tracing_subscriber::registry()
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

/// A caller's W3C trace context from its headers: the traceparent and, after a line feed, the tracestate where
/// there is one; empty when there is none. It travels in the log, so what is longer than the standard asks to be
/// carried is dropped.
pub fn context<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> String {
    let short = |name, max| header(name).filter(|v| (1..=max).contains(&v.len()));
    let Some(parent) = short(TRACEPARENT, TRACEPARENT_MAX) else {
        return String::new();
    };
    match short(TRACESTATE, TRACESTATE_MAX) {
        Some(state) => format!("{parent}\n{state}"),
        None => parent.to_owned(),
    }
}

/// Makes a span a child of the context given, as by [`context`]; an empty or malformed one is ignored.
pub fn follow(span: &Span, context: &str) {
    if context.is_empty() {
        return;
    }
    let (parent, state) = context.split_once('\n').unwrap_or((context, ""));
    let carrier = HashMap::from([
        (TRACEPARENT.to_owned(), parent.to_owned()),
        (TRACESTATE.to_owned(), state.to_owned()),
    ]);
    // Refused only for a span that is not recorded, which then needs no parent.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// The W3C context of a span, as by [`context`]; empty when it is not traced.
pub fn traceparent(span: &Span) -> String {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    context(|name| carrier.get(name).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_carried_through_a_span_with_its_state() {
        let tracer = SdkTracerProvider::builder().build();
        let spans = tracing_opentelemetry::layer().with_tracer(tracer.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), || {
            let given = context(|name| {
                Some(match name {
                    TRACEPARENT => PARENT,
                    _ => "vendor=1",
                })
            });
            let span = tracing::info_span!("work");
            follow(&span, &given);
            let told = traceparent(&span);
            let (parent, state) = told.split_once('\n').expect("a state");
            assert_eq!((&parent[..36], state), (&PARENT[..36], "vendor=1"));
            assert_ne!(parent, PARENT, "the span itself is the parent");
        });
    }

    #[test]
    fn what_is_too_long_is_not_carried_and_nothing_is_made_up() {
        let long = "x".repeat(513);
        let header = |parent: &'static str| {
            let long = long.as_str();
            context(move |name| Some(if name == TRACEPARENT { parent } else { long }))
        };
        assert_eq!(header(PARENT), PARENT);
        assert_eq!(header(""), "");
        assert_eq!(context(|_| None), "");
        // Without a subscriber no span is recorded.
        assert_eq!(traceparent(&tracing::info_span!("nobody records this")), "");
    }
}
