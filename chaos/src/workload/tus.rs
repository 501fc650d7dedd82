//! An upload in pieces, as tus 1.0 has them, that goes on at any node after whatever becomes of a piece.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ask::{Ask, Parcel};
use super::librarian::Librarian;
use crate::content::Content;
use crate::history::Outcome;

/// Pieces that are tried before it is left where it is.
const MOST_TRIES: usize = 30;
/// Bytes of a piece: at least one more than the first, at most as many more as the second.
const PIECE_BYTES: (u64, u64) = (100_000, 900_000);
const VERSION: &str = "tus-resumable: 1.0.0\r\n";

/// How far an upload is.
struct Reached {
    offset: u64,
    /// What it has become.
    file: Option<String>,
}

impl Librarian {
    /// Uploads: a file of this name, or a new version of that one. The id of the file; or how it ended else: without the last piece nothing
    /// comes of it.
    pub(super) async fn send_in_pieces(&mut self, name: &str, file: Option<&str>, content: &Content) -> Result<String, Outcome> {
        let bytes = content.make();
        let upload = self.begin_upload(name, file, content.bytes).await.ok_or(Outcome::Failed)?;
        let (mut may_be_whole, mut offset) = (false, 0);
        for _ in 0..MOST_TRIES {
            if self.client.controls.is_stopped() {
                break;
            }
            let piece = PIECE_BYTES.0 + self.client.random.below(PIECE_BYTES.1);
            let end = content.bytes.min(offset + piece);
            // What is in memory fits.
            let (from, to) = (offset as usize, end as usize);
            may_be_whole |= end == content.bytes;
            let parcel = Parcel {
                method: "PATCH",
                path: format!("/files/uploads/{upload}"),
                headers: format!("{VERSION}upload-offset: {offset}\r\ncontent-type: application/offset+octet-stream\r\n"),
                body: &bytes[from..to],
                again: false,
            };
            self.client.anywhere();
            let told = self.client.send(&parcel).await;
            if matches!(told.refusal, Some((404 | 410, _))) && !may_be_whole {
                return Err(Outcome::Failed);
            }
            // Whatever became of the piece: the upload itself says how far it is.
            let Some(reached) = self.reached(&upload).await else {
                continue;
            };
            if let Some(file) = reached.file {
                return Ok(file);
            }
            offset = reached.offset;
        }
        Err(if may_be_whole { Outcome::Unknown } else { Outcome::Failed })
    }

    /// Announces it. None: nobody says where it is, and nothing will ever come of it.
    async fn begin_upload(&mut self, name: &str, file: Option<&str>, length: u64) -> Option<String> {
        let told = match file {
            Some(file) => format!("file {}", STANDARD.encode(file)),
            None => format!("filename {}", STANDARD.encode(name)),
        };
        let parcel = Parcel {
            method: "POST",
            path: "/files/uploads".to_owned(),
            headers: format!("{VERSION}upload-length: {length}\r\nupload-metadata: {told}\r\n"),
            body: b"",
            again: true,
        };
        self.client.anywhere();
        let told = self.client.send(&parcel).await;
        told.good.as_ref()?;
        Some(told.location?.rsplit('/').next()?.to_owned())
    }

    async fn reached(&mut self, upload: &str) -> Option<Reached> {
        self.client.anywhere();
        let ask = Ask {
            method: "GET",
            path: format!("/files/uploads/{upload}"),
            body: None,
            key: None,
            again: true,
        };
        let body = self.client.ask(&ask).await.good?;
        Some(Reached {
            offset: body["offset"].as_u64()?,
            file: body["file"].as_str().map(str::to_owned),
        })
    }
}
