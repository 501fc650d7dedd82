//! etcd with three members, asked through its JSON gateway by our own loader.
//!
//! A record is a key of a task's id and a value of 300 bytes, both in base64, as the gateway wants them. Writes are acknowledged when a
//! majority has them on disk; reads are linearizable, which is what the gateway does where it is not told otherwise.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rig::http::{Request, find, get, send};
use rig::load::{self, Pacing, Plan, Refused, Script, summarize};
use rig::nursery;
use rig::ports::Ports;
use rig::probe::Probe;
use rig::random::Random;
use rustix::process::Signal;

use super::server::Server;
use super::{Peer, Started, Turn, files};
use crate::report::Measured;
use crate::run::{TIMEOUT, WARMUP, Workload};
use crate::tasks::{BODY_BYTES, Mix, PAGE, PRELOADED, expect, id_of, write_line};

/// Its name in the report.
pub(super) const NAME: &str = "etcd";
/// Members.
const MEMBERS: usize = 3;
/// How long they may take to elect a leader.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Writes of one transaction when records are brought in: etcd takes no more than 128.
const BATCH: u64 = 100;
/// What a member may store, in bytes: more than any run writes.
const QUOTA_BYTES: u64 = 8 << 30;

/// Three members.
struct Etcd {
    servers: Vec<Server>,
    clients: Vec<SocketAddr>,
    _ports: Ports,
    /// Goes away last.
    _directory: tempfile::TempDir,
}

/// Starts the members and brings the records in; the inner error says what is not installed.
pub(super) fn start() -> Started {
    let Some(directory) = files::holding(&files::path(), &["etcd"]) else {
        return Ok(Err("there is no `etcd` on PATH: install etcd-server".to_owned()));
    };
    let mut etcd = members(&directory.join("etcd"))?;
    etcd.wait_ready()?;
    etcd.preload()?;
    Ok(Ok(Box::new(etcd)))
}

fn members(program: &Path) -> Result<Etcd> {
    let directory = files::temporary(NAME)?;
    let ports = Ports::keep(2 * MEMBERS).context("find free ports")?;
    let mut clients = ports.addresses().context("look at the ports")?;
    let peers = clients.split_off(MEMBERS);
    let named = peers.iter().enumerate().map(|(at, peer)| format!("m{at}=http://{peer}"));
    let initial = named.collect::<Vec<_>>().join(",");
    let mut servers = Vec::new();
    for (at, (client, peer)) in clients.iter().zip(&peers).enumerate() {
        let (name, client, peer) = (format!("m{at}"), format!("http://{client}"), format!("http://{peer}"));
        let mut command = nursery::command(program);
        command.arg("--data-dir").arg(directory.path().join(&name));
        command.args([
            "--name",
            &name,
            "--initial-cluster",
            &initial,
            "--initial-cluster-state",
            "new",
        ]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--quota-backend-bytes", &QUOTA_BYTES.to_string(), "--logger", "zap"]);
        let log = directory.path().join(format!("{name}.log"));
        servers.push(Server::start(command, &log, Signal::TERM)?);
    }
    Ok(Etcd {
        servers,
        clients,
        _ports: ports,
        _directory: directory,
    })
}

impl Etcd {
    fn wait_ready(&mut self) -> Result<()> {
        for (server, client) in self.servers.iter_mut().zip(&self.clients) {
            let healthy = || {
                let body = get(*client, "/health", "", Duration::from_secs(1));
                body.is_ok_and(|body| find(&body, b"\"true\"").is_some())
            };
            server.wait_ready(READY_WITHIN, healthy).context("start etcd")?;
        }
        Ok(())
    }

    /// Writes the records that reads ask for.
    fn preload(&self) -> Result<()> {
        let address = *self.clients.first().context("etcd has a member")?;
        for from in (0..PRELOADED).step_by(usize::try_from(BATCH)?) {
            let puts =
                (from..PRELOADED.min(from + BATCH)).map(|number| format!("{{\"requestPut\":{}}}", put(&key(number), number)));
            let body = format!("{{\"success\":[{}]}}", puts.collect::<Vec<_>>().join(","));
            let (status, reply) = send(address, post("/v3/kv/txn", body.as_bytes()), TIMEOUT)?;
            let done = status == 200 && find(&reply, b"\"succeeded\":true").is_some();
            ensure!(
                done,
                "etcd does not take records: {status} {}",
                String::from_utf8_lossy(&reply)
            );
        }
        Ok(())
    }
}

impl Peer for Etcd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pids(&self) -> Result<Vec<u32>> {
        Ok(self.servers.iter().map(Server::pid).collect())
    }

    fn take(&mut self, turn: Turn) -> Result<Measured> {
        let plan = Plan {
            targets: self.clients.clone(),
            refused: Refused::Fails,
            connections: turn.clients,
            pacing: Pacing::Closed,
            warmup: WARMUP,
            window: Duration::from_secs(turn.seconds),
            timeout: TIMEOUT,
            classes: if turn.workload == Workload::Mix {
                vec!["read", "write"]
            } else {
                vec!["all"]
            },
            probe: Some(Probe {
                pids: self.pids()?,
                ..Probe::default()
            }),
            slot: None,
        };
        let outcome = load::drive(&plan, |connection| script(turn, connection))?;
        println!(
            "  etcd {:<35} {:>4} clients {:>9.0}/s  {} failures {:?}",
            super::title(turn.workload),
            turn.clients,
            outcome.rate(),
            summarize(&outcome.latency),
            outcome.errors
        );
        ensure!(outcome.successes > 0, "no request succeeded: {:?}", outcome.errors);
        Ok(Measured::of(&outcome, false))
    }
}

fn script(turn: Turn, connection: usize) -> Box<dyn Script> {
    let seed = connection as u64 + 1;
    let write = || -> Box<dyn Script> {
        Box::new(Put {
            prefix: format!("{:?}-{}-{}-{connection}", turn.workload, turn.clients, turn.round),
            number: 0,
        })
    };
    match turn.workload {
        Workload::Create => write(),
        Workload::ReadStrong | Workload::ReadLocal => Box::new(Range::new(1, seed)),
        Workload::Mix => Box::new(Mix::new(vec![(9, Box::new(Range::new(1, seed))), (1, write())], seed)),
        Workload::List | Workload::Filtered => Box::new(Range::new(PAGE as u64, seed)),
    }
}

/// The key of a preloaded record.
fn key(number: u64) -> String {
    format!("tasks/{}", id_of(number))
}

/// The body of a put of a record's 300 bytes.
fn put(key: &str, number: u64) -> String {
    let mut value = Vec::with_capacity(BODY_BYTES + 1);
    write_line(&mut value, key, number, BODY_BYTES, false);
    let value = STANDARD.encode(value.trim_ascii_end());
    format!("{{\"key\":\"{}\",\"value\":\"{value}\"}}", STANDARD.encode(key))
}

fn post<'a>(path: &'a str, body: &'a [u8]) -> Request<'a> {
    Request {
        method: "POST",
        path,
        token: "",
        headers: "",
        body,
    }
}

/// Writes one new key after the other (W1). The reply must name the revision that it made.
struct Put {
    prefix: String,
    number: u64,
}

impl Script for Put {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.number += 1;
        let body = put(&format!("new/{}-{}", self.prefix, self.number), self.number);
        post("/v3/kv/put", body.as_bytes()).write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        expect(status, 200, body)?;
        let made = find(body, b"\"revision\":\"").is_some();
        if made { Ok(()) } else { Err("no_revision".to_owned()) }
    }
}

/// Reads so many preloaded keys in a row, from a random one on: one (W2) or a page (W4). The reply must hold the first and as many
/// as were asked for. The range ends behind the last of them: where it went on, etcd would count all that follow.
struct Range {
    keys: u64,
    random: Random,
    first: String,
}

impl Range {
    fn new(keys: u64, seed: u64) -> Self {
        Self {
            keys,
            random: Random::new(seed),
            first: String::new(),
        }
    }
}

impl Script for Range {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let from = self.random.below(PRELOADED - self.keys);
        self.first = format!("\"{}\"", STANDARD.encode(key(from)));
        let mut body = format!("{{\"key\":{}", self.first);
        if self.keys > 1 {
            let end = STANDARD.encode(key(from + self.keys));
            // Writing to a string does not fail.
            let _ = write!(body, ",\"range_end\":\"{end}\",\"limit\":{}", self.keys);
        }
        body.push('}');
        post("/v3/kv/range", body.as_bytes()).write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        expect(status, 200, body)?;
        if find(body, self.first.as_bytes()).is_none() {
            return Err("wrong_key".to_owned());
        }
        let (mut found, mut at) = (0, 0);
        const EACH: &[u8] = b"\"create_revision\"";
        while let Some(next) = find(&body[at..], EACH) {
            found += 1;
            at += next + EACH.len();
        }
        if found == self.keys {
            Ok(())
        } else {
            Err(format!("{found}_keys_of_{}", self.keys))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn body_of(request: &[u8]) -> Value {
        serde_json::from_slice(&request[find(request, b"\r\n\r\n").unwrap() + 4..]).unwrap()
    }

    fn decoded(value: &Value) -> Vec<u8> {
        STANDARD.decode(value.as_str().unwrap()).unwrap()
    }

    #[test]
    fn a_put_is_300_bytes_under_a_key_of_its_own() {
        let mut put = Put {
            prefix: "x".to_owned(),
            number: 0,
        };
        let mut keys = Vec::new();
        for _ in 0..3 {
            let mut out = Vec::new();
            put.request(&mut out);
            let body = body_of(&out);
            assert_eq!(decoded(&body["value"]).len(), BODY_BYTES);
            keys.push(decoded(&body["key"]));
        }
        assert_eq!(keys, [b"new/x-1".to_vec(), b"new/x-2".to_vec(), b"new/x-3".to_vec()]);
        assert_eq!(put.check(200, br#"{"header":{"revision":"7"}}"#), Ok(()));
        assert!(put.check(200, b"{}").is_err() && put.check(503, b"").is_err());
    }

    #[test]
    fn a_range_wants_as_many_keys_as_it_asked_for() {
        let mut range = Range::new(2, 1);
        let mut out = Vec::new();
        range.request(&mut out);
        let body = body_of(&out);
        assert!(decoded(&body["key"]) < decoded(&body["range_end"]));
        let one = format!("{{\"key\":{},\"create_revision\":\"1\"}}", range.first);
        assert_eq!(range.check(200, format!("{one},{one}").as_bytes()), Ok(()));
        assert_eq!(range.check(200, one.as_bytes()), Err("1_keys_of_2".to_owned()));
        assert_eq!(range.check(200, b"{}"), Err("wrong_key".to_owned()));
        let mut single = Range::new(1, 1);
        let mut out = Vec::new();
        single.request(&mut out);
        assert!(body_of(&out).get("range_end").is_none());
    }
}
