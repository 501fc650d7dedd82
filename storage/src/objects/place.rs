//! Where objects lie: an address, and what it takes to be let in.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
#[cfg(feature = "s3")]
use std::time::Duration;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::{ObjectError, Objects};

/// What the address of a bucket begins with.
pub(super) const BUCKET: &str = "s3://";

/// Where objects lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Directory(PathBuf),
    /// A bucket of a store that speaks S3.
    Bucket {
        /// Its name.
        bucket: String,
        /// What the names of all objects begin with; may be empty.
        prefix: String,
        /// The region that requests are signed for.
        region: Option<String>,
        /// The address of the store, where it is not Amazon's.
        endpoint: Option<String>,
    },
}

/// Why an address names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It is of a kind that is not known.
    #[error("{0:?} is not the address of a store: it begins with file:// or s3://")]
    Unknown(String),
    /// It names no directory or bucket.
    #[error("{0:?} names no directory or bucket")]
    Empty(String),
    /// This build has no S3.
    #[error("{0:?}: this build of cloudnest speaks no S3 (the feature s3)")]
    NoS3(String),
}

/// The names of the key, and the secret, that open a bucket. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's public id.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
}

impl Place {
    /// Reads an address. A directory that is not absolute is taken from `base`.
    pub fn parse(address: &str, base: &FilePath) -> Result<Place, PlaceError> {
        let empty = || PlaceError::Empty(address.to_owned());
        if let Some(path) = address.strip_prefix("file://") {
            return match path {
                "" => Err(empty()),
                path => Ok(Place::Directory(base.join(path))),
            };
        }
        let Some(rest) = address.strip_prefix(BUCKET) else {
            return Err(PlaceError::Unknown(address.to_owned()));
        };
        if !cfg!(feature = "s3") {
            return Err(PlaceError::NoS3(address.to_owned()));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(empty());
        }
        Ok(Place::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            region: None,
            endpoint: None,
        })
    }

    /// The objects of the place. A directory is made where there is none.
    pub fn open(&self, credentials: Option<&Credentials>) -> Result<Objects, ObjectError> {
        let place: Arc<str> = self.to_string().into();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ObjectError::Store {
            action: "open the store",
            place: place.to_string(),
            name: String::new(),
            source,
        };
        let (store, prefix): (Arc<dyn ObjectStore>, &str) = match self {
            Place::Directory(path) => {
                std::fs::create_dir_all(path).map_err(|error| failed(error.into()))?;
                let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(error.into()))?;
                (Arc::new(store.with_fsync(true)), "")
            }
            Place::Bucket { prefix, .. } => (self.bucket(credentials).map_err(failed)?, prefix),
        };
        let prefix = Path::parse(prefix).map_err(|error| failed(error.into()))?;
        Ok(Objects { store, prefix, place })
    }

    #[cfg(feature = "s3")]
    fn bucket(
        &self,
        credentials: Option<&Credentials>,
    ) -> Result<Arc<dyn ObjectStore>, Box<dyn std::error::Error + Send + Sync>> {
        use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
        use object_store::{ClientOptions, RetryConfig};

        /// Longest time for one request, and for its connection.
        const REQUEST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));
        /// Requests of which the store answers that it is busy are repeated so often, within so long. Who asks repeats the rest.
        const RETRIES: (usize, Duration) = (2, Duration::from_secs(20));

        let Place::Bucket {
            bucket,
            region,
            endpoint,
            ..
        } = self
        else {
            return Err("a directory is no bucket".into());
        };
        let options = ClientOptions::new().with_timeout(REQUEST.0).with_connect_timeout(REQUEST.1);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region.as_deref().unwrap_or("us-east-1"))
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig {
                max_retries: RETRIES.0,
                retry_timeout: RETRIES.1,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = endpoint {
            let is_plain = endpoint.starts_with("http://");
            builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
        }
        if let Some(Credentials { key_id, secret }) = credentials {
            builder = builder.with_access_key_id(key_id).with_secret_access_key(secret);
        }
        let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let store = builder.with_client_options(options.with_allow_http(is_plain)).build()?;
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "s3"))]
    fn bucket(&self, _: Option<&Credentials>) -> Result<Arc<dyn ObjectStore>, Box<dyn std::error::Error + Send + Sync>> {
        Err(PlaceError::NoS3(self.to_string()).into())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "file://{}", path.display()),
            Place::Bucket { bucket, prefix, .. } if prefix.is_empty() => write!(f, "{BUCKET}{bucket}"),
            Place::Bucket { bucket, prefix, .. } => write!(f, "{BUCKET}{bucket}/{prefix}"),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}
