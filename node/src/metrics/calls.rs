//! Every call of a client gets a span and is measured.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tonic::Code;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::measured::observe_call;
use crate::telemetry;

/// Wraps a server's services.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallLayer;

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { inner }
    }
}

/// What [`CallLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct Calls<S> {
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for Calls<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let began = Instant::now();
        let method = method(request.uri().path()).to_owned();
        let span = if method.starts_with("livechat.") {
            let span = tracing::info_span!("rpc", otel.name = method, otel.kind = "server");
            let headers = request.headers();
            telemetry::follow(
                &span,
                &telemetry::context(|name| headers.get(name)?.to_str().ok()),
            );
            span
        } else {
            // Probes of health would drown the rest.
            Span::none()
        };
        let answered = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let answer = answered.await;
            let code = answer
                .as_ref()
                .map_or(Code::Internal, |a| code(a.headers()));
            // Whatever a caller may have made up is one method.
            let method = match code {
                Code::Unimplemented => OTHER.to_owned(),
                _ => method,
            };
            observe_call(method, code_name(code), began.elapsed());
            answer
        })
    }
}

const OTHER: &str = "other";

/// `livechat.v1.AdminService/Apply`.
fn method(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    if ["livechat.", "grpc."].iter().any(|p| path.starts_with(p)) {
        path
    } else {
        OTHER
    }
}

/// A refusal comes at once, in the headers; without one the call went well, or the stream is open.
fn code(headers: &HeaderMap) -> Code {
    headers
        .get("grpc-status")
        .map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes()))
}

/// The names of the gRPC standard.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
