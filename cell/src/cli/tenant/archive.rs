//! A tenant as one file, for `tenant export --archive` and `tenant import`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use api::client::{ArchiveStream, FromArchive};
use bytes::Bytes;
use storage::Space;
use tokio::sync::mpsc;

use super::super::remote::Remote;
use super::super::{Result, output};
use crate::archive::{self, MAGIC, Owner};

/// How much of a file is sent at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that are read ahead.
const PIECES: usize = 4;

/// Whether a file begins as an archive does. What is no file can be read only once, and lines come that way.
pub(super) fn is_archive(path: &Path) -> Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut first = [0; MAGIC.len()];
    match file.read_exact(&mut first) {
        Ok(()) => Ok(first == *MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(anyhow!(error).context(format!("read {}", path.display())).into()),
    }
}

/// Writes an archive to a file, which appears under its name only when all of it was read back and found right.
pub(super) async fn to_file(remote: &Remote, stream: ArchiveStream, path: &Path) -> Result {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = match write(remote, stream, &partial).await {
        Ok(bytes) => verify(&partial).and_then(|position| {
            fs::rename(&partial, path)?;
            sync_directory(path)?;
            Ok((bytes, position))
        }),
        Err(failure) => Err(failure),
    };
    if written.is_err() {
        // What is wrong with the archive is the error to report.
        let _ = fs::remove_file(&partial);
    }
    let (bytes, position) = written?;
    eprintln!("{bytes} bytes in {}: the tenant at position {position}", path.display());
    Ok(())
}

async fn write(remote: &Remote, mut stream: ArchiveStream, partial: &Path) -> Result<u64> {
    // It holds all that the tenant has: nobody else is to read it.
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(partial);
    let mut file = BufWriter::new(opened.with_context(|| format!("create {}", partial.display()))?);
    let mut bytes = 0;
    while let Some(piece) = stream
        .next()
        .await
        .map_err(|error| remote.failure("export the tenant", error))?
    {
        file.write_all(&piece)?;
        bytes += piece.len() as u64;
    }
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(bytes)
}

/// That a file is a whole archive, and of which position.
fn verify(path: &Path) -> Result<u64> {
    let file = BufReader::new(File::open(path).with_context(|| format!("read {} back", path.display()))?);
    // Whose it would be does not matter to whether it is whole.
    let owner = Owner {
        space: Space(u64::MAX),
        tenant: uuid::Uuid::nil(),
        slug: String::new(),
        keeps_tokens: true,
    };
    let reader = archive::Reader::new(file, owner).map_err(anyhow::Error::from)?;
    let position = reader.head().position;
    for chunk in reader {
        chunk.map_err(anyhow::Error::from)?;
    }
    Ok(position)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a tenant of an archive.
pub(super) async fn import(remote: &Remote, slug: &str, path: &Path, new: &FromArchive) -> Result {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let (sender, mut pieces) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).map(|count| {
                piece.truncate(count);
                Bytes::from(piece)
            });
            let is_last = read.as_ref().map_or(true, Bytes::is_empty);
            let is_end = read.as_ref().is_ok_and(Bytes::is_empty);
            // Who takes no more pieces has an answer already.
            if is_end || sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    let pieces = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    let made = remote.client()?.tenant_from_archive(slug, new, pieces).await;
    let tenant = made.map_err(|error| remote.failure("import the tenant", error))?.body;
    super::print(&tenant)?;
    if let Some(token) = &tenant.admin_token {
        output::line(&format!("{:<10} {token}", "token"))?;
        eprintln!("Keep the token: it is the tenant's only one and is shown only now.");
    }
    Ok(())
}
