//! Objects in a directory: what is written is read, whole or not at all.

use std::fs;
use std::path::Path;

use super::*;

fn open(dir: &Path) -> Objects {
    Place::Directory(dir.to_owned()).open(None).unwrap()
}

fn file(dir: &Path, name: &str) -> std::path::PathBuf {
    dir.join(name)
}

#[tokio::test]
async fn what_is_written_is_read_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(&dir.path().join("deep/place"));
    assert!(objects.list("cells").await.unwrap().is_empty());
    assert!(objects.put_new("cells/2/log/b", b"two").await.unwrap());
    assert!(objects.put_new("cells/2/log/a", b"one").await.unwrap());
    assert!(objects.put_new("cells/3/log/a", b"other").await.unwrap());
    assert_eq!(objects.get("cells/2/log/b").await.unwrap(), b"two"[..]);
    assert_eq!(objects.list("cells/2").await.unwrap(), ["cells/2/log/a", "cells/2/log/b"]);
    assert_eq!(objects.folders("cells").await.unwrap(), ["2", "3"]);
    let names = ["cells/2/log/a".to_owned(), "cells/2/log/none".to_owned()];
    objects.delete(&names).await.unwrap();
    let missing = objects.get("cells/2/log/a").await.unwrap_err();
    assert!(matches!(&missing, ObjectError::Missing { name, .. } if name == "cells/2/log/a"));
    assert_eq!(objects.list("cells/2").await.unwrap(), ["cells/2/log/b"]);
}

#[tokio::test]
async fn the_first_of_a_name_stays_unless_it_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    assert!(objects.put_new("head", b"one").await.unwrap());
    assert!(!objects.put_new("head", b"two").await.unwrap());
    assert_eq!(objects.get("head").await.unwrap(), b"one"[..]);
    objects.put("head", b"three").await.unwrap();
    assert_eq!(objects.get("head").await.unwrap(), b"three"[..]);
}

#[tokio::test]
async fn when_an_object_was_written_is_told_and_writing_it_again_is_later() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    assert_eq!(objects.written("a/one").await.unwrap(), None);
    objects.put("a/one", b"content").await.unwrap();
    let first = objects.written("a/one").await.unwrap().unwrap();
    assert_eq!(objects.list_written("a").await.unwrap(), [("a/one".to_owned(), first)]);
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    let path = file(dir.path(), "a/one");
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    assert_eq!(objects.list_written("a").await.unwrap(), [("a/one".to_owned(), 1_000)]);
    assert_eq!(objects.get_written("a/one").await.unwrap(), (b"content"[..].into(), 1_000));
    objects.put("a/one", b"content").await.unwrap();
    assert!(objects.written("a/one").await.unwrap().unwrap() >= first);
}

#[tokio::test]
async fn damage_names_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let objects = open(dir.path());
    objects.put("log/one", b"content").await.unwrap();
    objects.put("log/two", b"content").await.unwrap();
    let path = file(dir.path(), "log/one");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let other = fs::read(file(dir.path(), "log/two")).unwrap();
    for wrong in [&flipped[..], &whole[..whole.len() - 1], b"", &other] {
        fs::write(&path, wrong).unwrap();
        let error = objects.get("log/one").await.unwrap_err();
        assert!(matches!(error, ObjectError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("log/one"), "{error}");
    }
}

#[tokio::test]
async fn a_directory_that_went_away_is_an_error_and_not_an_empty_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("place");
    let objects = open(&path);
    objects.put("log/one", b"content").await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, b"a file").unwrap();
    assert!(objects.put("log/two", b"content").await.is_err());
    assert!(Place::Directory(path).open(None).is_err());
}

#[test]
fn addresses_are_read_and_wrong_ones_refused() {
    let base = Path::new("/etc/cloudnest");
    let directory = |address| match Place::parse(address, base) {
        Ok(Place::Directory(path)) => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(directory("file:///var/backups"), Path::new("/var/backups"));
    assert_eq!(directory("file://backups/eu"), Path::new("/etc/cloudnest/backups/eu"));
    for wrong in ["file://", "s3://", "s3:///prefix", "/var/backups", "ftp://x", ""] {
        assert!(Place::parse(wrong, base).is_err(), "{wrong}");
    }
    if cfg!(feature = "s3") {
        let place = Place::parse("s3://bucket/some/prefix/", base).unwrap();
        assert_eq!(place.to_string(), "s3://bucket/some/prefix");
    }
}
