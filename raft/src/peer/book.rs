//! Who a node is, and who its peers were: identities that outlive a process and do not survive a lost disk.
//!
//! A data directory gets a random *incarnation* when it is made. Every node remembers the incarnation of each peer that it has met,
//! and refuses another one under the same id. A node whose disk was lost has forgotten its votes and the entries that it
//! acknowledged; if it came back under its old id it could vote twice in a term and let committed entries be overwritten. So it must
//! come back under a new id, as a new replica. The same file keeps a directory from being used by another node or cluster, and a
//! log that has vanished from beneath its identity from being taken for a new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use crate::codec::{decode, encode_into};
use crate::{Error, NodeId};

/// The identity of one data directory.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incarnation(pub(crate) [u8; 16]);

impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[derive(Serialize, Deserialize)]
struct OwnV1 {
    cluster: String,
    node: u64,
    incarnation: Incarnation,
}

#[derive(Default, Serialize, Deserialize)]
struct PeersV1 {
    met: BTreeMap<u64, Incarnation>,
}

/// This node's incarnation and those of the peers that it has met.
pub(crate) struct Book {
    pub(crate) own: Incarnation,
    file: PathBuf,
    met: Mutex<BTreeMap<u64, Incarnation>>,
}

const OWN_FILE: &str = "identity";
const PEERS_FILE: &str = "peers";

/// Where the log is within a node's directory.
pub(crate) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

impl Book {
    /// Opens the directory of this node: makes its identity when it is new, checks it otherwise. To be called before the log is
    /// opened; it looks at whether there is one.
    pub(crate) fn open(dir: &Path, cluster: &str, node: NodeId) -> Result<Book, Error> {
        fs::create_dir_all(dir).map_err(|source| Error::Io {
            verb: "create log directory",
            source,
        })?;
        let own = match read_file::<OwnV1>(&dir.join(OWN_FILE))? {
            Some(own) => check_own(&own, dir, cluster, node)?,
            // The process ended between making the log and making its identity final; nobody has met it yet.
            None if has_log(dir)? => match read_file::<OwnV1>(&dir.join(NEW_FILE))? {
                Some(own) => check_own(&own, dir, cluster, node)?,
                None => {
                    return Err(Error::Identity(format!(
                        "{} holds a log but not the identity of its node",
                        dir.display()
                    )));
                }
            },
            None => make_own(dir, cluster, node)?,
        };
        let file = dir.join(PEERS_FILE);
        let met = read_file::<PeersV1>(&file)?.unwrap_or_default().met;
        Ok(Book {
            own,
            file,
            met: Mutex::new(met),
        })
    }

    /// Accepts a peer that is new, or the same as ever; refuses one that came back as another. Blocks for an fsync the first time.
    pub(crate) fn meet(&self, node: NodeId, incarnation: Incarnation) -> Result<(), Error> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        match met.get(&node.0) {
            Some(known) if *known == incarnation => Ok(()),
            Some(known) => Err(Error::Identity(format!(
                "node {node} was {known:?} and is now {incarnation:?}: it has lost its data and must not vote under its old id; \
                 give it a new id and add it as a new replica"
            ))),
            None => {
                let mut next = met.clone();
                next.insert(node.0, incarnation);
                write_file(&self.file, &PeersV1 { met: next.clone() })?;
                *met = next;
                Ok(())
            }
        }
    }
}

fn check_own(own: &OwnV1, dir: &Path, cluster: &str, node: NodeId) -> Result<Incarnation, Error> {
    if own.cluster != cluster || own.node != node.0 {
        return Err(Error::Identity(format!(
            "{} belongs to node {} of cluster {}, not to node {node} of cluster {cluster}",
            dir.display(),
            own.node,
            own.cluster
        )));
    }
    if !has_log(dir)? {
        return Err(Error::Identity(format!(
            "the log of node {node} in {} is gone: this node must not go on under its old id",
            dir.display()
        )));
    }
    Ok(own.incarnation)
}

fn make_own(dir: &Path, cluster: &str, node: NodeId) -> Result<Incarnation, Error> {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::Identity("the system gave no random bytes".to_owned()))?;
    let incarnation = Incarnation(bytes);
    // It becomes final with `commit_identity`, once the log exists.
    write_file(
        &dir.join(NEW_FILE),
        &OwnV1 {
            cluster: cluster.to_owned(),
            node: node.0,
            incarnation,
        },
    )?;
    Ok(incarnation)
}

const NEW_FILE: &str = "identity.new";

/// Makes a new identity final. To be called once the log was opened.
pub(crate) fn commit_identity(dir: &Path) -> Result<(), Error> {
    let new = dir.join(NEW_FILE);
    if !new.exists() {
        return Ok(());
    }
    fs::rename(&new, dir.join(OWN_FILE))
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|source| Error::Io {
            verb: "write identity",
            source,
        })
}

fn has_log(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(log_dir(dir)) {
        Ok(mut files) => Ok(files.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io {
            verb: "read log directory",
            source,
        }),
    }
}

fn read_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let damaged = |why: String| Error::Identity(format!("{} is damaged: {why}", path.display()));
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                verb: "read identity",
                source,
            });
        }
    };
    let Some((body, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged("it is cut short".to_owned()));
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(damaged("the checksum does not match".to_owned()));
    }
    decode("identity", body).map(Some).map_err(|error| damaged(error.to_string()))
}

fn write_file<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let mut body = BytesMut::new();
    encode_into(value, &mut body);
    let crc = crc32c::crc32c(&body);
    body.put_u32_le(crc);
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|source| Error::Io {
        verb: "write identity",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, cluster: &str, node: u64) -> Result<Book, Error> {
        let book = Book::open(dir, cluster, NodeId(node))?;
        fs::create_dir_all(log_dir(dir)).unwrap();
        fs::write(log_dir(dir).join("segment"), b"x").unwrap();
        commit_identity(dir)?;
        Ok(book)
    }

    #[test]
    fn a_directory_belongs_to_one_node_of_one_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "a", 1).unwrap().own;
        assert_eq!(open(dir.path(), "a", 1).unwrap().own, first);
        assert!(matches!(open(dir.path(), "a", 2), Err(Error::Identity(_))));
        assert!(matches!(open(dir.path(), "b", 1), Err(Error::Identity(_))));
    }

    #[test]
    fn a_log_and_its_identity_come_and_go_together() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "a", 1).unwrap();
        fs::remove_dir_all(log_dir(dir.path())).unwrap();
        assert!(matches!(Book::open(dir.path(), "a", NodeId(1)), Err(Error::Identity(_))));

        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "a", 1).unwrap();
        fs::remove_file(dir.path().join(OWN_FILE)).unwrap();
        assert!(matches!(Book::open(dir.path(), "a", NodeId(1)), Err(Error::Identity(_))));
    }

    #[test]
    fn a_peer_that_comes_back_as_another_is_refused_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Incarnation([1; 16]), Incarnation([2; 16]));
        let book = open(dir.path(), "a", 1).unwrap();
        book.meet(NodeId(2), one).unwrap();
        book.meet(NodeId(2), one).unwrap();
        assert!(matches!(book.meet(NodeId(2), other), Err(Error::Identity(_))));
        let book = open(dir.path(), "a", 1).unwrap();
        assert!(matches!(book.meet(NodeId(2), other), Err(Error::Identity(_))));
        book.meet(NodeId(2), one).unwrap();
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "a", 1).unwrap();
        let path = dir.path().join(OWN_FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Book::open(dir.path(), "a", NodeId(1)), Err(Error::Identity(_))));
    }
}
