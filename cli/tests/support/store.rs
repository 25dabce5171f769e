//! A store that speaks as much of the S3 protocol as backups need, over HTTP on loopback. It believes nobody: every request
//! must be signed (AWS signature, version 4) over what it asks for and carries.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::{digest, hmac};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Who may ask.
pub const KEY_ID: &str = "backup-writer";
/// And by what secret.
pub const SECRET: &str = "a/secret+that=stays";
/// The bucket that is there.
pub const BUCKET: &str = "kept";

/// What a store holds.
#[derive(Default)]
pub struct Holds {
    /// Objects by key.
    pub objects: BTreeMap<String, Bytes>,
    /// Parts of uploads that are neither complete nor aborted.
    pub uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    /// How many uploads were begun.
    pub begun: u32,
    /// It never answers to a part.
    pub silent: bool,
    /// It completes the next upload, and says that it could not.
    pub swallow_completion: bool,
}

type Shelf = Arc<(Mutex<Holds>, watch::Sender<usize>)>;

/// A store, on a runtime of its own so that it can vanish as a machine does.
pub struct Store {
    /// `None` = it vanished.
    runtime: Option<Runtime>,
    address: SocketAddr,
    shelf: Shelf,
    parts: watch::Receiver<usize>,
}

impl Store {
    /// Starts one with an empty bucket.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (told, parts) = watch::channel(0);
        let shelf: Shelf = Arc::new((Mutex::default(), told));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new()
            .fallback(serve)
            .with_state(shelf.clone());
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        Self {
            runtime: Some(runtime),
            address,
            shelf,
            parts,
        }
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds.
    pub fn holds(&self) -> MutexGuard<'_, Holds> {
        self.shelf.0.lock().unwrap()
    }

    /// Parts of uploads that it was sent so far.
    pub fn parts_so_far(&self) -> usize {
        *self.parts.borrow()
    }

    /// Waits until it was sent so many.
    pub async fn has_parts(&self, count: usize) {
        let mut parts = self.parts.clone();
        parts.wait_for(|parts| *parts >= count).await.unwrap();
    }

    /// Closes its port and every connection at once.
    pub fn vanish(self) {
        drop(self);
    }

    /// Lets a command ask it.
    pub fn lets(&self, command: &mut Command) {
        asks(command, &self.url(), KEY_ID, SECRET);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sets what a command asks a store with, and nothing else of the kind.
pub fn asks(command: &mut Command, url: &str, key_id: &str, secret: &str) {
    let all = std::env::vars_os().map(|(name, _)| name);
    for name in all.filter(|n| n.to_string_lossy().to_uppercase().ends_with("_PROXY")) {
        command.env_remove(name);
    }
    for name in ["AWS_REGION", "AWS_SESSION_TOKEN"] {
        command.env_remove(name);
    }
    command
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", key_id)
        .env("AWS_SECRET_ACCESS_KEY", secret);
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>As {code} says.</Message></Error>"
    );
    answer(status, body)
}

fn answer(status: StatusCode, body: impl Into<Body>) -> Response {
    let response = Response::builder().status(status);
    response.body(body.into()).unwrap()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Whether a request is signed by the secret, over all that counts.
fn signed(
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), &'static str> {
    let given = text(headers, "authorization").strip_prefix("AWS4-HMAC-SHA256 ");
    let given = given.ok_or("AccessDenied")?;
    let field = |name: &str| {
        let mut fields = given
            .split(',')
            .filter_map(|part| part.trim().split_once('='));
        fields.find(|(n, _)| *n == name).map(|(_, value)| value)
    };
    let (key_id, scope) = field("Credential")
        .and_then(|c| c.split_once('/'))
        .ok_or("AccessDenied")?;
    if key_id != KEY_ID {
        return Err("InvalidAccessKeyId");
    }
    let names = field("SignedHeaders").ok_or("AccessDenied")?;
    let must = ["host", "x-amz-content-sha256", "x-amz-date"];
    if !must.iter().all(|name| names.split(';').any(|n| n == *name)) {
        return Err("AccessDenied");
    }
    if text(headers, "x-amz-content-sha256") != sha256(body) {
        return Err("XAmzContentSHA256Mismatch");
    }
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    pairs.sort();
    let lines: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", text(headers, name).trim()))
        .collect();
    let asked = format!(
        "{method}\n{path}\n{}\n{lines}\n{names}\n{}",
        pairs.join("&"),
        sha256(body)
    );
    let date = text(headers, "x-amz-date");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(asked.as_bytes())
    );
    let hmac = |key: &[u8], data: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes())
            .as_ref()
            .to_vec()
    };
    let secret = format!("AWS4{SECRET}").into_bytes();
    let key = scope.split('/').fold(secret, |key, part| hmac(&key, part));
    match field("Signature") == Some(&hex(hmac(&key, &to_sign))) {
        true => Ok(()),
        false => Err("SignatureDoesNotMatch"),
    }
}

async fn serve(State(shelf): State<Shelf>, request: Request) -> Response {
    let answer = answer_to(&shelf, request).await;
    let silent = shelf.0.lock().unwrap().silent;
    if silent && answer.headers().contains_key(header::ETAG) {
        std::future::pending::<()>().await;
    }
    answer
}

async fn answer_to(shelf: &Shelf, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        return error(StatusCode::BAD_REQUEST, "IncompleteBody");
    };
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    if let Err(code) = signed(&head.method, path, query, &head.headers, &body) {
        return error(StatusCode::FORBIDDEN, code);
    }
    let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    if bucket != BUCKET {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let asked = |name: &str| {
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut named = pairs.filter(|(n, _)| *n == name);
        named.next().map(|(_, value)| value.replace("%2F", "/"))
    };
    let mut holds = shelf.0.lock().unwrap();
    let upload = asked("uploadId");
    match (head.method.as_str(), key) {
        ("GET", "") => list(
            &holds,
            &asked("prefix").unwrap_or_default(),
            asked("delimiter"),
        ),
        ("GET" | "HEAD", key) => get(&holds, key, &head.headers, head.method == Method::HEAD),
        ("POST", _) if asked("uploads").is_some() => {
            holds.begun += 1;
            let id = format!("upload-{}", holds.begun);
            holds.uploads.insert(id.clone(), BTreeMap::new());
            answer(
                StatusCode::OK,
                format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ),
            )
        }
        ("PUT", _) if upload.is_some() => {
            let number = asked("partNumber").and_then(|n| n.parse().ok()).unwrap();
            let Some(parts) = holds.uploads.get_mut(&upload.unwrap()) else {
                return error(StatusCode::NOT_FOUND, "NoSuchUpload");
            };
            parts.insert(number, body);
            shelf.1.send_modify(|parts| *parts += 1);
            tagged(&format!("part-{number}"))
        }
        ("POST", key) => {
            let Some(parts) = holds.uploads.remove(&upload.unwrap()) else {
                return error(StatusCode::NOT_FOUND, "NoSuchUpload");
            };
            let count = parts.len();
            let small = parts
                .values()
                .take(count - 1)
                .any(|part| part.len() < 5 << 20);
            if small || parts.keys().copied().ne(1..=count as u32) {
                return error(StatusCode::BAD_REQUEST, "EntityTooSmall");
            }
            let whole: Vec<u8> = parts.into_values().flatten().collect();
            holds.objects.insert(key.to_owned(), whole.into());
            if std::mem::take(&mut holds.swallow_completion) {
                return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
            }
            answer(
                StatusCode::OK,
                "<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>",
            )
        }
        ("PUT", key) => {
            if head.headers.contains_key(header::IF_NONE_MATCH) && holds.objects.contains_key(key) {
                return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            }
            holds.objects.insert(key.to_owned(), body);
            tagged("whole")
        }
        ("DELETE", _) if upload.is_some() => match holds.uploads.remove(&upload.unwrap()) {
            Some(_) => answer(StatusCode::NO_CONTENT, ""),
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        },
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn tagged(tag: &str) -> Response {
    let response = Response::builder().header(header::ETAG, format!("\"{tag}\""));
    response.body(Body::empty()).unwrap()
}

const MODIFIED: &str = "2026-11-25T14:30:00.000Z";

fn list(holds: &Holds, prefix: &str, delimiter: Option<String>) -> Response {
    let mut body = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
    for (key, object) in holds
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
    {
        if delimiter.is_some() && key[prefix.len()..].contains('/') {
            continue;
        }
        let size = object.len();
        let _ = write!(
            body,
            "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{MODIFIED}</LastModified><ETag>whole</ETag></Contents>"
        );
    }
    body += "</ListBucketResult>";
    answer(StatusCode::OK, body)
}

fn get(holds: &Holds, key: &str, headers: &HeaderMap, head: bool) -> Response {
    let Some(object) = holds.objects.get(key) else {
        return match head {
            true => answer(StatusCode::NOT_FOUND, ""),
            false => error(StatusCode::NOT_FOUND, "NoSuchKey"),
        };
    };
    assert!(
        !headers.contains_key(header::RANGE),
        "nothing asks for a part of an object"
    );
    let response = Response::builder()
        .header(header::LAST_MODIFIED, "Wed, 25 Nov 2026 14:30:00 GMT")
        .header(header::ETAG, "\"whole\"")
        .header(header::CONTENT_LENGTH, object.len());
    let body = if head {
        Body::empty()
    } else {
        Body::from(object.clone())
    };
    response.body(body).unwrap()
}
