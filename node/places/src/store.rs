//! Backups in a store that speaks the S3 protocol.

use std::error::Error as _;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::HttpError;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, MultipartUpload, ObjectStore as _, ObjectStoreExt as _,
    PutMode, RetryConfig,
};

use crate::settings::Settings;
use crate::{Check, EXTENSION, Kept, PlaceError, There, Whole, index_in};

/// Bytes of a part; what is no longer goes in one piece. The protocol wants at least 5 MiB.
const PART_BYTES: u64 = 8 << 20;

/// Parts that an upload may have by the protocol.
const PARTS_MAX: u64 = 10_000;

/// A store that says nothing for so long is taken for gone; a part must have gone up by then.
const STALLS_AFTER: Duration = Duration::from_secs(60);

/// A question that failed by the network, or by the store's own fault, is asked again for so long.
const RETRIED_FOR: Duration = Duration::from_secs(30);

/// How often it is asked again.
const RETRIES: usize = 4;

/// A bucket, and what of it is meant.
#[derive(Debug)]
pub(crate) struct Store {
    s3: AmazonS3,
    bucket: String,
    /// A prefix, or the key of one object.
    path: Path,
    endpoint: String,
}

/// A backup on its way into one. The store shows nothing of it before it is complete.
pub(crate) struct Object<'a> {
    store: &'a Store,
    path: Path,
    whole: Whole,
    part_bytes: usize,
    buffer: Vec<u8>,
    /// `None` = it goes in one piece.
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Store {
    /// What `s3://BUCKET/PATH` means, by the environment.
    pub(crate) fn of(given: &str) -> Result<Self, PlaceError> {
        let wrong = |problem: String| PlaceError::Address {
            given: given.to_owned(),
            problem,
        };
        let rest = given.strip_prefix("s3://").unwrap_or_default();
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(named) {
            return Err(wrong("names no bucket: give s3://BUCKET/PREFIX".to_owned()));
        }
        let path = Path::parse(path)
            .map_err(|e| wrong(format!("{e}: give s3://BUCKET/PREFIX with a plain path")))?;
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                max_backoff: Duration::from_secs(3),
                ..BackoffConfig::default()
            },
            max_retries: RETRIES,
            retry_timeout: RETRIED_FOR,
        };
        // A backup takes as long as it takes; what may not last is silence.
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(STALLS_AFTER)
            .with_allow_http(settings.in_the_clear());
        let mut builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_retry(retry)
            .with_bucket_name(bucket)
            .with_region(&settings.region)
            .with_access_key_id(&settings.key_id)
            .with_secret_access_key(&settings.secret);
        if let Some(token) = &settings.token {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let s3 = builder.build().map_err(|e| wrong(deepest(&e)))?;
        Ok(Self {
            s3,
            bucket: bucket.to_owned(),
            path,
            endpoint: settings.name(),
        })
    }

    fn address(&self, path: &Path) -> String {
        format!("s3://{}/{path}", self.bucket)
    }

    pub(crate) fn full_name(&self, name: &str) -> String {
        self.address(&self.path.clone().join(name))
    }

    /// That the bucket is there and lets us look.
    pub(crate) async fn check(&self) -> Result<(), PlaceError> {
        let mut listed = self.s3.list(Some(&self.path));
        match listed.next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.error(&self.path, &error)),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<Kept>, PlaceError> {
        let listed = self.s3.list_with_delimiter(Some(&self.path)).await;
        let listed = listed.map_err(|e| self.error(&self.path, &e))?;
        let kept = listed.objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            name.ends_with(EXTENSION).then(|| Kept {
                log_index: index_in(&name),
                bytes: object.size,
                written_ms: object.last_modified.timestamp_millis(),
                name,
            })
        });
        Ok(kept.collect())
    }

    pub(crate) async fn check_of(&self, name: &str, bytes: u64) -> Result<There, PlaceError> {
        self.there(&self.path.clone().join(name), bytes).await
    }

    async fn there(&self, path: &Path, bytes: u64) -> Result<There, PlaceError> {
        match self.s3.head(path).await {
            Err(Error::NotFound { .. }) => return Ok(There::Nothing),
            Err(error) => return Err(self.error(path, &error)),
            Ok(about) if about.size != bytes => return Ok(There::Other),
            Ok(_) => {}
        }
        let mut check = Check::default();
        let add = &mut |data: &[u8]| {
            check.add(data);
            Ok(())
        };
        self.read_at(path, add).await?;
        Ok(There::Whole(check.whole()))
    }

    /// Shows all bytes of the object that the address names.
    pub(crate) async fn read(
        &self,
        each: &mut impl FnMut(&[u8]) -> Result<(), PlaceError>,
    ) -> Result<(), PlaceError> {
        if self.path.as_ref().is_empty() {
            return Err(PlaceError::Address {
                given: self.address(&self.path),
                problem: "names no backup: give s3://BUCKET/PREFIX/NAME.backup".to_owned(),
            });
        }
        self.read_at(&self.path, each).await
    }

    async fn read_at(
        &self,
        path: &Path,
        each: &mut impl FnMut(&[u8]) -> Result<(), PlaceError>,
    ) -> Result<(), PlaceError> {
        let failed = |e: Error| self.error(path, &e);
        let got = self.s3.get(path).await.map_err(failed)?;
        let (announced, mut arrived) = (got.meta.size, 0);
        let mut parts = got.into_stream();
        while let Some(part) = parts.try_next().await.map_err(failed)? {
            arrived += part.len() as u64;
            each(&part)?;
        }
        match arrived == announced {
            true => Ok(()),
            false => Err(PlaceError::NotWhole { arrived, announced }),
        }
    }

    pub(crate) async fn begin(&self, name: &str, whole: Whole) -> Result<Object<'_>, PlaceError> {
        let path = self.path.clone().join(name);
        let part_bytes = PART_BYTES.max(whole.bytes.div_ceil(PARTS_MAX));
        let upload = match whole.bytes > part_bytes {
            true => {
                let begun = self.s3.put_multipart(&path).await;
                Some(begun.map_err(|e| self.error(&path, &e))?)
            }
            false => None,
        };
        Ok(Object {
            store: self,
            path,
            whole,
            part_bytes: part_bytes as usize,
            buffer: Vec::new(),
            upload,
        })
    }

    fn error(&self, path: &Path, error: &Error) -> PlaceError {
        let (place, endpoint) = (self.address(path), self.endpoint.clone());
        let (code, why) = said(error);
        match (error, code.as_deref()) {
            (_, Some("NoSuchBucket")) => PlaceError::NoBucket {
                bucket: self.bucket.clone(),
                endpoint,
            },
            (Error::NotFound { .. }, _) => PlaceError::Missing(place),
            (Error::AlreadyExists { .. } | Error::Precondition { .. }, _) => {
                PlaceError::Differs(place)
            }
            (Error::Unauthenticated { .. } | Error::PermissionDenied { .. }, _)
            | (_, Some("ExpiredToken" | "InvalidToken")) => PlaceError::Refused {
                endpoint,
                place,
                why,
            },
            _ if by_network(error) => PlaceError::Unreachable { endpoint, why },
            _ => PlaceError::Store { place, why },
        }
    }
}

impl Object<'_> {
    pub(crate) async fn put(&mut self, data: &[u8]) -> Result<(), PlaceError> {
        self.buffer.extend_from_slice(data);
        while self.upload.is_some() && self.buffer.len() >= self.part_bytes {
            let rest = self.buffer.split_off(self.part_bytes);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<(), PlaceError> {
        match &mut self.upload {
            Some(upload) => {
                let sent = upload.put_part(part.into()).await;
                sent.map_err(|e| self.store.error(&self.path, &e))
            }
            None => Ok(()),
        }
    }

    pub(crate) async fn finish(&mut self) -> Result<(), PlaceError> {
        let rest = std::mem::take(&mut self.buffer);
        let failed = if self.upload.is_some() {
            if !rest.is_empty() {
                self.send(rest).await?;
            }
            // The protocol can say "unless it is there" only of what goes in one piece, so look once more.
            if !matches!(self.there().await?, There::Nothing) {
                return Err(PlaceError::Differs(self.store.address(&self.path)));
            }
            match &mut self.upload {
                Some(upload) => upload.complete().await.err(),
                None => None,
            }
        } else {
            let put = self
                .store
                .s3
                .put_opts(&self.path, rest.into(), PutMode::Create.into());
            put.await.err()
        };
        let Some(error) = failed else {
            return Ok(());
        };
        let asked_twice = matches!(
            error,
            Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }
        );
        // Where the answer to the first try was lost, the second finds the work done.
        if asked_twice && matches!(self.there().await?, There::Whole(there) if there == self.whole)
        {
            return Ok(());
        }
        Err(self.store.error(&self.path, &error))
    }

    async fn there(&self) -> Result<There, PlaceError> {
        self.store.there(&self.path, self.whole.bytes).await
    }

    /// Takes back the parts that were sent.
    pub(crate) async fn abort(self) -> Result<(), PlaceError> {
        match self.upload {
            Some(mut upload) => match upload.abort().await {
                // It is gone already.
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.store.error(&self.path, &error)),
            },
            None => Ok(()),
        }
    }
}

/// The code of the protocol that an error carries, and what it says for people.
fn said(error: &Error) -> (Option<String>, String) {
    let why = deepest(error);
    let within = |tag: &str| {
        let (_, rest) = why.split_once(&format!("<{tag}>"))?;
        let (text, _) = rest.split_once(&format!("</{tag}>"))?;
        Some(text.trim().to_owned())
    };
    match (within("Code"), within("Message")) {
        (Some(code), Some(message)) if !message.is_empty() => {
            let told = format!("{code}, {}", message.trim_end_matches('.'));
            (Some(code), told)
        }
        (Some(code), _) => (Some(code.clone()), code),
        (None, _) => (None, why),
    }
}

/// What is at the bottom of an error.
fn deepest(error: &Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// Whether there was no answer at all.
fn by_network(error: &Error) -> bool {
    let mut at = error.source();
    while let Some(source) = at {
        if source.is::<HttpError>() {
            return true;
        }
        at = source.source();
    }
    false
}
