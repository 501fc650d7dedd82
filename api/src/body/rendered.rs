//! A body that the service has written as JSON itself.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The JSON of a `T`. Who has many small things to tell writes them straight into the buffer that is sent, and needs no `T` for it.
#[derive(Clone, Debug)]
pub struct Rendered<T> {
    json: Bytes,
    of: PhantomData<fn() -> T>,
}

impl<T> Rendered<T> {
    /// What was written already; that it is the JSON of a `T` is the writer's word.
    pub fn written(json: impl Into<Bytes>) -> Self {
        Self {
            json: json.into(),
            of: PhantomData,
        }
    }

    /// The JSON.
    pub fn json(&self) -> &Bytes {
        &self.json
    }
}

impl<T: Serialize> Rendered<T> {
    /// Writes a value.
    ///
    /// # Errors
    ///
    /// The value has no JSON, such as a map whose keys are no texts.
    pub fn of(value: &T) -> serde_json::Result<Self> {
        serde_json::to_vec(value).map(Self::written)
    }
}

impl<T: DeserializeOwned> Rendered<T> {
    /// Reads it again.
    ///
    /// # Errors
    ///
    /// It is not the JSON of a `T`.
    pub fn read(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.json)
    }
}
