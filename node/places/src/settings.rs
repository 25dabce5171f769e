//! What the environment says of a store: where it is, and who asks. No secret is ever given by a flag, where every
//! user of the machine could read it.

use crate::PlaceError;

/// The region where none is told; stores of one's own have none.
const REGION: &str = "us-east-1";

/// Where a store is, and who asks.
pub(crate) struct Settings {
    /// URL of a store of one's own; `None` = Amazon's, in that region.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
    /// Of credentials that last a while only.
    pub(crate) token: Option<String>,
}

impl Settings {
    /// Reads them by `get`, which gives the value of a variable.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, PlaceError> {
        // As everywhere, an empty variable says nothing.
        let get = |name| get(name).filter(|value| !value.is_empty());
        let must = |variable, problem: &str| {
            get(variable).ok_or_else(|| PlaceError::Environment {
                variable,
                problem: problem.to_owned(),
            })
        };
        let endpoint = get("AWS_ENDPOINT_URL");
        if let Some(endpoint) = &endpoint {
            check(endpoint)?;
        }
        let region = match &endpoint {
            Some(_) => get("AWS_REGION").unwrap_or_else(|| REGION.to_owned()),
            None => must(
                "AWS_REGION",
                "is not set: give the region of the bucket, or AWS_ENDPOINT_URL for a store of your own",
            )?,
        };
        let credentials = "is not set: a store is asked with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from the environment";
        Ok(Self {
            region,
            key_id: must("AWS_ACCESS_KEY_ID", credentials)?,
            secret: must("AWS_SECRET_ACCESS_KEY", credentials)?,
            token: get("AWS_SESSION_TOKEN"),
            endpoint,
        })
    }

    /// Whether requests may go in the clear: only where the endpoint says so.
    pub(crate) fn in_the_clear(&self) -> bool {
        let endpoint = self.endpoint.as_deref();
        endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// How the store is called in messages.
    pub(crate) fn name(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("S3 in {}", self.region),
        }
    }
}

/// The value itself is not repeated: it may hold a password.
fn check(endpoint: &str) -> Result<(), PlaceError> {
    let wrong = |problem: &str| {
        Err(PlaceError::Environment {
            variable: "AWS_ENDPOINT_URL",
            problem: problem.to_owned(),
        })
    };
    let rest = endpoint.strip_prefix("https://");
    let Some(rest) = rest.or_else(|| endpoint.strip_prefix("http://")) else {
        return wrong("is no URL: give https://HOST, or http://HOST:PORT on a network you trust");
    };
    if rest.contains('@') {
        return wrong(
            "holds a user: give credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        );
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || rest.contains(['?', '#', ' ']) {
        return wrong("is no URL of a store: give https://HOST or https://HOST:PORT");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let get = |name: &str| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(get).map_err(|error| error.to_string())
    }

    const KEYS: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];

    #[test]
    fn what_is_missing_is_named() {
        for missing in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let all = [KEYS.as_slice(), &[("AWS_REGION", "eu-west-1")]].concat();
            let but: Vec<_> = all.into_iter().filter(|(n, _)| *n != missing).collect();
            let refused = read(&but).err().unwrap();
            assert!(refused.starts_with(missing), "{refused}");
        }
    }

    #[test]
    fn only_an_endpoint_in_the_clear_is_asked_in_the_clear() {
        let at = |endpoint| read(&[KEYS.as_slice(), &[("AWS_ENDPOINT_URL", endpoint)]].concat());
        let own = at("http://127.0.0.1:9000").unwrap();
        assert!(own.in_the_clear());
        assert_eq!(own.region, REGION);
        assert!(!at("https://store.example").unwrap().in_the_clear());
        let amazon = read(&[KEYS.as_slice(), &[("AWS_REGION", "eu-west-1")]].concat());
        assert!(!amazon.unwrap().in_the_clear());
    }

    #[test]
    fn a_bad_endpoint_is_named_and_not_repeated() {
        for bad in [
            "store:9000",
            "https://",
            "https://me:pass@store",
            "http://a b",
        ] {
            let endpoint = [("AWS_ENDPOINT_URL", bad)];
            let refused = read(&[KEYS.as_slice(), &endpoint].concat()).err().unwrap();
            assert!(refused.starts_with("AWS_ENDPOINT_URL "), "{refused}");
            assert!(!refused.contains("pass@"), "{refused}");
        }
    }
}
