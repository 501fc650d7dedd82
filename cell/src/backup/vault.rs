//! A store of a region, as tasks use it: of its backups, or of its files (`node/blobs/bucket`). Every request is bounded in time, and so is how
//! many are under way.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::blob::{ChunkHash, hex};
use storage::objects::{ObjectError, Objects};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::names::read_chunk;
use crate::config::{SecretError, Store};

/// Longest time for one request of a backup.
const PATIENCE: Duration = Duration::from_secs(40);
/// Requests of backups that may be under way, those that nobody waits for any more among them: a directory that hangs holds a thread each.
pub(super) const REQUESTS: usize = 24;
/// So many chunks of one folder are looked at by themselves; with more of them the folder is listed.
const ALONE: usize = 2;

/// How requests to a store are bounded. Clones share the places.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Places of requests that are under way.
    places: Arc<Semaphore>,
    /// Longest wait for a place.
    wait: Duration,
    /// Longest time for one request.
    patience: Duration,
}

impl Bounds {
    /// So many requests, each for so long; who finds no place within `wait` is refused.
    pub(crate) fn new(requests: usize, wait: Duration, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(requests));
        Self { places, wait, patience }
    }

    /// A place for a request.
    async fn enter(&self, place: &str) -> Result<OwnedSemaphorePermit, VaultError> {
        let entering = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.wait, entering).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(VaultError::Hangs { place: place.to_owned() }),
        }
    }

    fn slow(&self, place: &str, name: &str) -> VaultError {
        VaultError::Slow {
            place: place.to_owned(),
            name: name.to_owned(),
            seconds: self.patience.as_secs(),
        }
    }
}

impl Default for Bounds {
    /// Those of backups, which can wait for another round.
    fn default() -> Self {
        Self::new(REQUESTS, Duration::ZERO, PATIENCE)
    }
}

/// Why objects cannot be written or read.
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
    #[error("{name} in {place} took longer than {seconds} s")]
    Slow {
        /// The store.
        place: String,
        /// What was asked for.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Too much is under way already.
    #[error("{place} hangs: as many requests as may be are under way")]
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

/// A store of a region. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    objects: Objects,
    bounds: Bounds,
}

impl Vault {
    /// Opens the store that the configuration names. Its key is read anew, so that it can be changed.
    pub(crate) async fn open(store: &Store, bounds: &Bounds) -> Result<Self, VaultError> {
        let keys = store.credentials()?;
        let (place, name) = (store.place.clone(), store.place.to_string());
        let permit = bounds.enter(&name).await?;
        let opening = tokio::task::spawn_blocking(move || {
            let opened = place.open(keys.as_ref());
            drop(permit);
            opened
        });
        let opened = tokio::time::timeout(bounds.patience, opening).await;
        let opened = opened.map_err(|_| bounds.slow(&name, "opening the store"))?;
        let objects = opened.map_err(|error| VaultError::Source(error.to_string()))??;
        Ok(Self {
            objects,
            bounds: bounds.clone(),
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

    /// Reads an object, with when it was written last, in seconds since the epoch by the store's clock.
    pub(crate) async fn get_written(&self, name: &str) -> Result<(Bytes, i64), VaultError> {
        let (objects, own) = (self.objects.clone(), name.to_owned());
        self.ask(name, async move { objects.get_written(&own).await }).await
    }

    /// When chunks of a folder were written last, in seconds since the epoch by the store's clock: those of them that are there.
    pub(crate) async fn found(&self, folder: &str, chunks: &[ChunkHash]) -> Result<BTreeMap<ChunkHash, i64>, VaultError> {
        let mut found = BTreeMap::new();
        if chunks.len() <= ALONE {
            for hash in chunks {
                let written = self.written(&format!("{folder}/{}", hex(hash))).await?;
                found.extend(written.map(|written| (*hash, written)));
            }
            return Ok(found);
        }
        let objects = self.list_written(folder).await?;
        let chunks = objects
            .iter()
            .filter_map(|(name, written)| Some((read_chunk(name)?, *written)));
        found.extend(chunks);
        Ok(found)
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
        let place = self.objects.place();
        let permit = self.bounds.enter(place).await?;
        let running = tokio::spawn(async move {
            let answer = request.await;
            drop(permit);
            answer
        });
        match tokio::time::timeout(self.bounds.patience, running).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error)) => Err(VaultError::Source(error.to_string())),
            Err(_) => Err(self.bounds.slow(place, name)),
        }
    }
}
