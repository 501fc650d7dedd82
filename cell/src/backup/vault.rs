//! The store of a region's backups, as tasks use it: every request is bounded in time, and so is how many hang.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::objects::{Credentials, ObjectError, Objects};
use tokio::sync::Semaphore;

use crate::config::{Backup, SecretError};

/// Longest time for one request.
const PATIENCE: Duration = Duration::from_secs(40);
/// Requests that may be under way, those that nobody waits for any more among them: a directory that hangs holds a thread each.
pub(super) const REQUESTS: usize = 24;

/// Why backups cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// The store says so.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// What an object holds cannot be read.
    #[error("the object {name} cannot be read: {why}")]
    Content {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("{name} in {place} took longer than {} s", PATIENCE.as_secs())]
    Slow {
        /// The store.
        place: String,
        /// What was asked for.
        name: String,
    },
    /// Too much is under way already.
    #[error("{place} hangs: {REQUESTS} requests are under way")]
    Hangs {
        /// The store.
        place: String,
    },
    /// The key of the store cannot be read.
    #[error("the key of the store: {0}")]
    Key(#[from] SecretError),
    /// What is to be archived cannot be read.
    #[error("{0}")]
    Source(String),
    /// Chunks of files are on no replica that can be reached.
    #[error("{count} chunks of files, such as {chunk} of tenant {uid}, are on no replica that can be reached now")]
    Lacking {
        /// How many.
        count: usize,
        /// The number of the tenant's space of one of them.
        uid: u64,
        /// Its name.
        chunk: String,
    },
}

impl VaultError {
    /// What an object holds cannot be read.
    pub(crate) fn content(name: &str) -> impl FnOnce(String) -> Self {
        let name = name.to_owned();
        |why| Self::Content { name, why }
    }
}

/// The store of a region. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    objects: Objects,
    requests: Arc<Semaphore>,
}

impl Vault {
    /// Opens the store that the configuration names. Its key is read anew, so that it can be changed.
    pub(crate) async fn open(backup: &Backup, requests: &Arc<Semaphore>) -> Result<Self, VaultError> {
        let keys = match &backup.keys {
            Some((key_id, secret)) => Some(Credentials {
                key_id: key_id.read()?,
                secret: secret.read()?,
            }),
            None => None,
        };
        let (place, name) = (backup.store.clone(), backup.store.to_string());
        let permit = Arc::clone(requests).try_acquire_owned();
        let permit = permit.map_err(|_| VaultError::Hangs { place: name.clone() })?;
        let opening = tokio::task::spawn_blocking(move || {
            let opened = place.open(keys.as_ref());
            drop(permit);
            opened
        });
        let slow = || VaultError::Slow {
            place: name.clone(),
            name: "opening the store".to_owned(),
        };
        let opened = tokio::time::timeout(PATIENCE, opening).await.map_err(|_| slow())?;
        let objects = opened.map_err(|error| VaultError::Source(error.to_string()))??;
        Ok(Self {
            objects,
            requests: Arc::clone(requests),
        })
    }

    /// Writes an object where there is none. False: there is one.
    pub(crate) async fn put_new(&self, name: &str, content: impl AsRef<[u8]> + Send + 'static) -> Result<bool, VaultError> {
        let (objects, own) = (self.objects.clone(), name.to_owned());
        self.ask(name, async move { objects.put_new(&own, content.as_ref()).await })
            .await
    }

    /// Writes an object, in the place of what is there.
    pub(crate) async fn put(&self, name: &str, content: impl AsRef<[u8]> + Send + 'static) -> Result<(), VaultError> {
        let (objects, own) = (self.objects.clone(), name.to_owned());
        self.ask(name, async move { objects.put(&own, content.as_ref()).await }).await
    }

    /// Reads an object.
    pub(crate) async fn get(&self, name: &str) -> Result<Bytes, VaultError> {
        let (objects, own) = (self.objects.clone(), name.to_owned());
        self.ask(name, async move { objects.get(&own).await }).await
    }

    /// The names below a folder, ascending.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let (objects, own) = (self.objects.clone(), folder.to_owned());
        self.ask(folder, async move { objects.list(&own).await }).await
    }

    /// The objects below a folder, by name, with when each was written last, in seconds since the epoch by the store's clock.
    pub(crate) async fn list_written(&self, folder: &str) -> Result<Vec<(String, i64)>, VaultError> {
        let (objects, own) = (self.objects.clone(), folder.to_owned());
        self.ask(folder, async move { objects.list_written(&own).await }).await
    }

    /// When an object was written last, in seconds since the epoch by the store's clock; none: it is not there.
    pub(crate) async fn written(&self, name: &str) -> Result<Option<i64>, VaultError> {
        let (objects, own) = (self.objects.clone(), name.to_owned());
        self.ask(name, async move { objects.written(&own).await }).await
    }

    /// The folders right below a folder, ascending.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let (objects, own) = (self.objects.clone(), folder.to_owned());
        self.ask(folder, async move { objects.folders(&own).await }).await
    }

    /// Removes an object.
    pub(crate) async fn delete(&self, name: String) -> Result<(), VaultError> {
        let objects = self.objects.clone();
        let names = vec![name.clone()];
        self.ask(&name, async move { objects.delete(&names).await }).await
    }

    /// A request goes on when nobody waits for it any more: what a directory does cannot be taken back.
    async fn ask<T: Send + 'static>(
        &self,
        name: &str,
        request: impl Future<Output = Result<T, ObjectError>> + Send + 'static,
    ) -> Result<T, VaultError> {
        let place = || self.objects.place().to_owned();
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        let permit = permit.map_err(|_| VaultError::Hangs { place: place() })?;
        let running = tokio::spawn(async move {
            let answer = request.await;
            drop(permit);
            answer
        });
        match tokio::time::timeout(PATIENCE, running).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error)) => Err(VaultError::Source(error.to_string())),
            Err(_) => Err(VaultError::Slow {
                place: place(),
                name: name.to_owned(),
            }),
        }
    }
}
