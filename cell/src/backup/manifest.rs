//! The manifest of a base, and the head of a line.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::machine::envelope::{open, seal};

/// Longest manifest, in bytes before it is deflated.
const MANIFEST_BYTES: u64 = 63 << 20;

/// All tenants of a cell at one position of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The name of the cell.
    pub(crate) cell: String,
    /// Its region.
    pub(crate) region: String,
    /// The version of the program that wrote it.
    pub(crate) version: String,
    /// The position of the log at which all of it was read.
    pub(crate) index: u64,
    /// When that was, in microseconds since the epoch: nothing of it was stamped later.
    pub(crate) stamp: u64,
    /// The tenants that were served, by their numbers.
    pub(crate) parts: Vec<Part>,
    /// The numbers of tenants that were on their way into the cell: neither the base nor the log behind it has all of them.
    pub(crate) coming: Vec<u64>,
}

/// The archive of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The number of its space.
    pub(crate) uid: u64,
    /// Its public id.
    pub(crate) tenant: Uuid,
    /// Its slug.
    pub(crate) slug: String,
    /// Its position.
    pub(crate) position: u64,
    /// The stamp of its last change, in microseconds since the epoch.
    pub(crate) stamp: u64,
    /// The attempt of a move that held it just then.
    pub(crate) held: Option<u64>,
    /// Objects that the archive is in.
    pub(crate) pieces: u64,
    /// The length of the archive.
    pub(crate) bytes: u64,
    /// BLAKE3 of all of it.
    pub(crate) hash: [u8; 32],
}

/// Versions of [`Manifest`].
#[derive(Serialize, Deserialize)]
enum ManifestRow {
    /// The first.
    V1(Manifest),
}

impl Manifest {
    /// The archive of a tenant.
    pub(crate) fn part(&self, uid: u64) -> Option<&Part> {
        self.parts.iter().find(|part| part.uid == uid)
    }

    /// Its bytes.
    pub(crate) fn encode(self) -> std::io::Result<Vec<u8>> {
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflater.write_all(&seal(&ManifestRow::V1(self)))?;
        deflater.finish()
    }

    /// Reads the bytes of a manifest.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut row = Vec::new();
        let mut inflater = DeflateDecoder::new(bytes).take(MANIFEST_BYTES + 1);
        inflater
            .read_to_end(&mut row)
            .map_err(|error| format!("it cannot be inflated: {error}"))?;
        if row.len() as u64 > MANIFEST_BYTES {
            return Err("it is longer than any".to_owned());
        }
        let ManifestRow::V1(manifest) = open(&row).map_err(|error| error.to_string())?;
        Ok(manifest)
    }
}

/// Up to when a line is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Through {
    /// The last position of the log that is archived.
    pub(crate) index: u64,
    /// Every command that was stamped until then is archived, in microseconds since the epoch.
    pub(crate) stamp: u64,
}

/// Versions of [`Through`].
#[derive(Serialize, Deserialize)]
enum ThroughRow {
    /// The first.
    V1(Through),
}

impl Through {
    /// Its bytes.
    pub(crate) fn encode(self) -> Vec<u8> {
        seal(&ThroughRow::V1(self))
    }

    /// Reads the bytes of a head.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let ThroughRow::V1(through) = open(bytes).map_err(|error| error.to_string())?;
        Ok(through)
    }
}
