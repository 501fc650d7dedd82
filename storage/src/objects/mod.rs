//! Objects: whole values under names, in a directory or in a bucket, for what is to outlive all replicas of a group.
//!
//! An object is written as a whole or not at all, and carries a head of ours (`frame`): what was cut, flipped, or lies under a name that it
//! was not written for is not given out. [`Objects::put_new`] writes only where nothing is, so that two writers of one name cannot mix.
//!
//! Where they lie is a [`Place`], read from an address: `file:///var/backups`, or `s3://bucket/prefix` where the crate is built with the feature
//! `s3`. A directory syncs each object and its name before it answers.
//!
//! CAVEATS: nothing here waits by a clock: who asks limits the time. A list may be older than the last write, as buckets are. A directory
//! that is made where something was to be mounted takes objects all the same.

mod frame;
mod place;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

pub use self::place::{Credentials, Place, PlaceError};

/// Largest object, in bytes, without its head. Raised: more memory for each that is under way. Lowered: more of them.
pub const OBJECT_BYTES_MAX: usize = 16 << 20;

/// Why an object could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is none of this name.
    #[error("{place} has no object {name}")]
    Missing {
        /// Where it was looked for.
        place: String,
        /// Its name.
        name: String,
    },
    /// What lies there is not what was written.
    #[error("the object {name} in {place} is damaged: {why}")]
    Damaged {
        /// Where it is.
        place: String,
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// It was written by a newer version of this program.
    #[error("the object {name} in {place} has format {found}, this program reads up to {known}")]
    NewerFormat {
        /// Where it is.
        place: String,
        /// Its name.
        name: String,
        /// The version that it carries.
        found: u8,
        /// The newest version that this program knows.
        known: u8,
    },
    /// The store does not know the key, or does not let it do this.
    #[error(
        "{place} does not let this key {action} {name}: check the id of the access key and its secret, and that the key may list, read, \
         write and remove objects there ({source})"
    )]
    Key {
        /// What was tried, as "verb object".
        action: &'static str,
        /// Where.
        place: String,
        /// The name.
        name: String,
        /// The store's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused, or cannot be reached.
    #[error("{action} {name} in {place}: {source}")]
    Store {
        /// What was tried, as "verb object".
        action: &'static str,
        /// Where.
        place: String,
        /// The name.
        name: String,
        /// The store's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The objects of one place. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// What all names begin with inside the store.
    prefix: Path,
    /// The place, for messages.
    place: Arc<str>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Objects").field(&self.place).finish()
    }
}

impl Objects {
    /// The place, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes an object where there is none. False: there is one of this name already, and it stays as it is.
    pub async fn put_new(&self, name: &str, content: &[u8]) -> Result<bool, ObjectError> {
        match self.write(name, content, PutMode::Create).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed("write the object", name, error)),
        }
    }

    /// Writes an object, in the place of what is there.
    pub async fn put(&self, name: &str, content: &[u8]) -> Result<(), ObjectError> {
        let written = self.write(name, content, PutMode::Overwrite).await;
        written.map_err(|error| self.failed("write the object", name, error))
    }

    async fn write(&self, name: &str, content: &[u8], mode: PutMode) -> Result<(), object_store::Error> {
        let framed = frame::seal(name, content);
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        self.store
            .put_opts(&self.path(name), PutPayload::from(framed), options)
            .await?;
        Ok(())
    }

    /// Reads an object; what does not carry the checksum that it was written with is an error.
    pub async fn get(&self, name: &str) -> Result<Bytes, ObjectError> {
        self.get_written(name).await.map(|(content, _)| content)
    }

    /// Reads an object, with when it was written last, in seconds since the epoch by the store's clock. Errors as those of [`Objects::get`].
    pub async fn get_written(&self, name: &str) -> Result<(Bytes, i64), ObjectError> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                let (place, name) = (self.place.to_string(), name.to_owned());
                return Err(ObjectError::Missing { place, name });
            }
            Err(error) => return Err(self.failed("read the object", name, error)),
        };
        if found.meta.size > (OBJECT_BYTES_MAX + frame::HEAD_BYTES) as u64 {
            return Err(self.damaged(name, format!("it has {} bytes, more than any object", found.meta.size)));
        }
        let written = found.meta.last_modified.timestamp();
        let bytes = found
            .bytes()
            .await
            .map_err(|error| self.failed("read the object", name, error))?;
        let content = frame::open(name, bytes).map_err(|wrong| match wrong {
            frame::Wrong::Newer(found) => ObjectError::NewerFormat {
                place: self.place.to_string(),
                name: name.to_owned(),
                found,
                known: frame::FORMAT,
            },
            frame::Wrong::Damaged(why) => self.damaged(name, why.to_owned()),
        })?;
        Ok((content, written))
    }

    /// The names below a folder, ascending. Names that are no text of ours are left out.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        let found = self.list_written(folder).await?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    /// When an object was written last, in seconds since the epoch by the store's clock; none: there is none of this name.
    pub async fn written(&self, name: &str) -> Result<Option<i64>, ObjectError> {
        match self.store.head(&self.path(name)).await {
            Ok(meta) => Ok(Some(meta.last_modified.timestamp())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at the object", name, error)),
        }
    }

    /// The objects below a folder, by name, each with when it was written last, in seconds since the epoch by the store's clock.
    pub async fn list_written(&self, folder: &str) -> Result<Vec<(String, i64)>, ObjectError> {
        let below = self.path(folder);
        let found = self.store.list(Some(&below));
        let found: Result<Vec<_>, _> = found.try_collect().await;
        let found = match found {
            // A directory that is not there holds nothing.
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            found => found.map_err(|error| self.failed("list the objects of", folder, error))?,
        };
        let named = |meta: &object_store::ObjectMeta| Some((self.name(&meta.location)?, meta.last_modified.timestamp()));
        let mut named: Vec<_> = found.iter().filter_map(named).collect();
        named.sort_unstable();
        Ok(named)
    }

    /// The folders right below a folder, ascending.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        let below = self.path(folder);
        let found = match self.store.list_with_delimiter(Some(&below)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            found => found.map_err(|error| self.failed("list the folders of", folder, error))?,
        };
        let last = |path: &Path| path.parts().next_back().map(|part| part.as_ref().to_owned());
        let mut names: Vec<String> = found.common_prefixes.iter().filter_map(last).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes objects. One that is not there is as good as removed.
    pub async fn delete(&self, names: &[String]) -> Result<(), ObjectError> {
        for name in names {
            match self.store.delete(&self.path(name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("remove the object", name, error)),
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> Path {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn name(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path
            .prefix_match(&self.prefix)?
            .map(|part| part.as_ref().to_owned())
            .collect();
        Some(parts.join("/"))
    }

    fn damaged(&self, name: &str, why: String) -> ObjectError {
        ObjectError::Damaged {
            place: self.place.to_string(),
            name: name.to_owned(),
            why,
        }
    }

    fn failed(&self, action: &'static str, name: &str, source: object_store::Error) -> ObjectError {
        let (place, name) = (self.place.to_string(), name.to_owned());
        let is_of_the_key = self.place.starts_with(place::BUCKET) && refuses_key(&source);
        let source = Box::new(source);
        match is_of_the_key {
            true => ObjectError::Key {
                action,
                place,
                name,
                source,
            },
            false => ObjectError::Store {
                action,
                place,
                name,
                source,
            },
        }
    }
}

/// Whether a bucket's store says that the key is wrong, or may not do this. For a list it says so in words alone.
fn refuses_key(error: &object_store::Error) -> bool {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    let is_told = || {
        let told = error.to_string();
        ["401 Unauthorized", "403 Forbidden"]
            .iter()
            .any(|status| told.contains(status))
    };
    matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) || is_told()
}

#[cfg(test)]
mod tests;
