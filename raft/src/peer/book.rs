//! Who a node is, and who its peers were: identities that outlive a process and do not survive a lost disk.
//!
//! A data directory gets a random *incarnation* when it is made. Every node remembers the incarnation of each peer that it has met,
//! and refuses another one under the same id. A node whose disk was lost has forgotten its votes and the entries that it
//! acknowledged; if it came back under its old id it could vote twice in a term and let committed entries be overwritten. So it must
//! come back under a new id, as a new replica. The same file keeps a directory from being used by another node or cluster, and
//! names the log that belongs to it: one that has vanished from beneath its identity, or was replaced by another, is not taken for
//! its own, because the votes were in the log that was there before.
//!
//! What makes a directory a log is its `FORMAT` file, with the log's id in it (`wal::identity`). Anything else that may lie there, a
//! mount point's `lost+found` or a lock of a process that ended early, is none.
//!
//! The identity file has a version byte in front: 2, since it names the log. A file of version 1 is still read, and takes the log
//! that it finds for its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use crate::codec::{VERSION, decode, encode_into};
use crate::mutant::Mutant;
use crate::{Error, NodeId};

/// The identity of one data directory.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incarnation(pub(crate) [u8; 16]);

impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Version 1 had no `log`.
#[derive(Serialize, Deserialize)]
struct OwnV1 {
    cluster: String,
    node: u64,
    incarnation: Incarnation,
}

#[derive(Clone, Serialize, Deserialize)]
struct OwnV2 {
    cluster: String,
    node: u64,
    incarnation: Incarnation,
    /// The id of this node's log; none before that was made.
    log: Option<u64>,
}

/// The version byte of the identity file. The rest is in the encoding of `codec`.
const OWN_VERSION: u8 = 2;

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
/// The identity of a directory whose log is not known to exist yet.
const NEW_FILE: &str = "identity.new";
const PEERS_FILE: &str = "peers";
/// What says that a directory is a log.
const LOG_FORMAT_FILE: &str = "FORMAT";

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
        let log = log_id(dir)?;
        let own = match (read_own(&dir.join(OWN_FILE))?, log) {
            (Some(own), log) => check_own(&own, log, dir, cluster, node)?,
            // The process ended between making the log and making its identity final; nobody has met it yet.
            (None, Some(log)) => match read_own(&dir.join(NEW_FILE))? {
                Some(own) => check_own(&own, Some(log), dir, cluster, node)?,
                None => {
                    return Err(Error::Identity(format!(
                        "{} holds a log but not the identity of its node",
                        dir.display()
                    )));
                }
            },
            (None, None) => make_own(dir, cluster, node)?,
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
            // Mutant, B15.
            Some(known) if *known == incarnation || Mutant::WipedNodeWelcome.active() => Ok(()),
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

fn check_own(own: &OwnV2, log: Option<u64>, dir: &Path, cluster: &str, node: NodeId) -> Result<Incarnation, Error> {
    if own.cluster != cluster || own.node != node.0 {
        return Err(Error::Identity(format!(
            "{} belongs to node {} of cluster {}, not to node {node} of cluster {cluster}",
            dir.display(),
            own.node,
            own.cluster
        )));
    }
    match (own.log, log) {
        (_, None) => Err(Error::Identity(format!(
            "the log of node {node} in {} is gone: this node must not go on under its old id",
            log_dir(dir).display()
        ))),
        (Some(own), Some(found)) if own != found => Err(Error::Identity(format!(
            "the log in {} is not the log of node {node}: it has the id {found:016x}, not {own:016x}; bring that one back, or give \
             this node a new id and add it as a new replica",
            log_dir(dir).display()
        ))),
        _ => Ok(own.incarnation),
    }
}

fn make_own(dir: &Path, cluster: &str, node: NodeId) -> Result<Incarnation, Error> {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::Identity("the system gave no random bytes".to_owned()))?;
    let incarnation = Incarnation(bytes);
    // It becomes final with `commit_identity`, once the log exists.
    let own = OwnV2 {
        cluster: cluster.to_owned(),
        node: node.0,
        incarnation,
        log: None,
    };
    write_own(&dir.join(NEW_FILE), &own)?;
    Ok(incarnation)
}

/// Makes a new identity final, and ties it to the log. To be called once the log was opened.
pub(crate) fn commit_identity(dir: &Path) -> Result<(), Error> {
    let (path, new) = (dir.join(OWN_FILE), dir.join(NEW_FILE));
    let own = match read_own(&path)? {
        Some(own) => own,
        None => read_own(&new)?.ok_or_else(|| Error::Identity(format!("{} has vanished", new.display())))?,
    };
    let log = log_id(dir)?.ok_or_else(|| Error::Identity(format!("{} holds no log", log_dir(dir).display())))?;
    if own.log != Some(log) || !path.exists() {
        write_own(&path, &OwnV2 { log: Some(log), ..own })?;
    }
    match fs::remove_file(&new) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            verb: "remove draft of identity",
            source,
        }),
        _ => Ok(()),
    }
}

/// The id of the log in a node's directory; none where there is no log.
fn log_id(dir: &Path) -> Result<Option<u64>, Error> {
    let path = log_dir(dir).join(LOG_FORMAT_FILE);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                verb: "read identity of log",
                source,
            });
        }
    };
    let id = text
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    id.map(Some)
        .ok_or_else(|| Error::Identity(format!("{} is damaged: it names no log", path.display())))
}

fn read_own(path: &Path) -> Result<Option<OwnV2>, Error> {
    let damaged = |error: io::Error| Error::Identity(format!("{} is damaged: {error}", path.display()));
    let Some(mut body) = read_checked(path)? else {
        return Ok(None);
    };
    if body.first() == Some(&OWN_VERSION) {
        body[0] = VERSION;
        return decode("identity", &body).map(Some).map_err(damaged);
    }
    let own: OwnV1 = decode("identity", &body).map_err(damaged)?;
    Ok(Some(OwnV2 {
        cluster: own.cluster,
        node: own.node,
        incarnation: own.incarnation,
        log: None,
    }))
}

fn write_own(path: &Path, own: &OwnV2) -> Result<(), Error> {
    let mut body = BytesMut::new();
    encode_into(own, &mut body);
    body[0] = OWN_VERSION;
    write_checked(path, body)
}

fn read_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(body) = read_checked(path)? else { return Ok(None) };
    decode("identity", &body)
        .map(Some)
        .map_err(|error| Error::Identity(format!("{} is damaged: {error}", path.display())))
}

/// The file without its checksum.
fn read_checked(path: &Path) -> Result<Option<Vec<u8>>, Error> {
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
    Ok(Some(body.to_vec()))
}

fn write_file<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let mut body = BytesMut::new();
    encode_into(value, &mut body);
    write_checked(path, body)
}

fn write_checked(path: &Path, mut body: BytesMut) -> Result<(), Error> {
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
        if log_id(dir)?.is_none() {
            make_log(dir, 7);
        }
        commit_identity(dir)?;
        Ok(book)
    }

    fn make_log(dir: &Path, id: u64) {
        fs::create_dir_all(log_dir(dir)).unwrap();
        let text = format!("cloudnest log\nformat 1\nid {id:016x}\n");
        fs::write(log_dir(dir).join(LOG_FORMAT_FILE), text).unwrap();
    }

    #[test]
    fn what_is_not_a_log_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(log_dir(dir.path()).join("lost+found")).unwrap();
        open(dir.path(), "a", 1).unwrap();
        fs::remove_file(log_dir(dir.path()).join(LOG_FORMAT_FILE)).unwrap();
        fs::write(log_dir(dir.path()).join("LOCK"), b"").unwrap();
        let refused = Book::open(dir.path(), "a", NodeId(1)).err().unwrap().to_string();
        assert!(refused.contains("is gone"), "{refused}");
    }

    #[test]
    fn another_log_is_not_taken_for_the_own() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "a", 1).unwrap();
        make_log(dir.path(), 8);
        let refused = Book::open(dir.path(), "a", NodeId(1)).err().unwrap().to_string();
        assert!(refused.contains("is not the log of node 1"), "{refused}");
        make_log(dir.path(), 7);
        open(dir.path(), "a", 1).unwrap();
    }

    #[test]
    fn an_identity_of_the_first_version_takes_its_log_and_becomes_one_of_the_second() {
        let dir = tempfile::tempdir().unwrap();
        let own = OwnV1 {
            cluster: "a".to_owned(),
            node: 1,
            incarnation: Incarnation([9; 16]),
        };
        write_file(&dir.path().join(OWN_FILE), &own).unwrap();
        assert!(Book::open(dir.path(), "a", NodeId(1)).is_err());
        make_log(dir.path(), 3);
        assert_eq!(open(dir.path(), "a", 1).unwrap().own, own.incarnation);
        assert_eq!(fs::read(dir.path().join(OWN_FILE)).unwrap()[0], OWN_VERSION);
        make_log(dir.path(), 4);
        assert!(Book::open(dir.path(), "a", NodeId(1)).is_err());
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
