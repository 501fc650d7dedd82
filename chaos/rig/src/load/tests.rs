//! The generator against a tiny server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::http::Request;

/// Answers every request with its own path as the body; closes the connection on the request number `hang_up` (0: never).
fn echo(hang_up: u64) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || serve(stream.unwrap(), &count, hang_up));
        }
    });
    (address, served)
}

fn serve(mut stream: TcpStream, count: &AtomicU64, hang_up: u64) {
    stream.set_nodelay(true).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        while let Some(end) = crate::http::find(&seen, b"\r\n\r\n") {
            if count.fetch_add(1, Ordering::SeqCst) + 1 == hang_up {
                return;
            }
            let head = String::from_utf8(seen.drain(..end + 4).collect()).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            stream.write_all(reply.as_bytes()).unwrap();
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
}

/// Asks for `/CONNECTION/NUMBER` and wants it back; every tenth it claims not to like.
struct Paths {
    connection: usize,
    number: u64,
}

impl Script for Paths {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.number += 1;
        let path = format!("/{}/{}", self.connection, self.number);
        Request {
            method: "GET",
            path: &path,
            token: "",
            headers: "",
            body: b"",
        }
        .write(out);
        usize::from(self.number.is_multiple_of(2))
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        let wanted = format!("/{}/{}", self.connection, self.number);
        if status != 200 || body != wanted.as_bytes() {
            return Err("wrong_reply".to_owned());
        }
        if self.number.is_multiple_of(10) {
            Err("disliked".to_owned())
        } else {
            Ok(())
        }
    }
}

fn plan(target: SocketAddr, pacing: Pacing) -> Plan {
    Plan {
        targets: vec![target],
        refused: Refused::Fails,
        connections: 4,
        pacing,
        warmup: Duration::from_millis(50),
        window: Duration::from_millis(400),
        timeout: Duration::from_secs(10),
        classes: vec!["odd", "even"],
        probe: Some(Probe {
            pids: vec![std::process::id()],
            ..Probe::default()
        }),
        slot: None,
    }
}

fn paths(connection: usize) -> Box<dyn Script> {
    Box::new(Paths { connection, number: 0 })
}

#[test]
fn a_closed_loop_checks_every_reply() {
    let (address, served) = echo(0);
    let outcome = drive(&plan(address, Pacing::Closed), paths).unwrap();
    assert!(outcome.successes > 0);
    assert_eq!(
        outcome.errors.keys().collect::<Vec<_>>(),
        ["disliked"],
        "{:?}",
        outcome.errors
    );
    assert!(outcome.successes + outcome.failures() <= served.load(Ordering::SeqCst));
    let classes: u64 = outcome.by_class.iter().map(|(_, histogram)| histogram.len()).sum();
    assert_eq!(classes, outcome.latency.len());
    assert!(outcome.cpu_micros_per_success().is_some());
    assert_eq!(outcome.fsyncs_per_success(), None);
}

#[test]
fn an_open_loop_accounts_for_every_request_that_fell_due() {
    let (address, served) = echo(0);
    let outcome = drive(&plan(address, Pacing::Open { rate: 500.0 }), paths).unwrap();
    let sent = served.load(Ordering::SeqCst);
    let unsent = outcome.errors.get("not_sent").copied().unwrap_or(0);
    // 450 ms at 500 a second, whatever the machine was doing meanwhile.
    assert_eq!(sent + unsent, 225, "{:?}", outcome.errors);
}

#[test]
fn a_server_that_stops_answering_shows_as_latency_of_all_that_was_due() {
    // Accepts connections (the kernel does) and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = plan(listener.local_addr().unwrap(), Pacing::Open { rate: 100.0 });
    plan.timeout = Duration::from_millis(100);
    let outcome = drive(&plan, paths).unwrap();
    assert_eq!(outcome.successes, 0);
    assert_eq!(outcome.longest_gap, plan.window);
    assert!(outcome.errors.contains_key("timeout"), "{:?}", outcome.errors);
}

#[test]
fn a_broken_connection_is_opened_again() {
    let (address, served) = echo(7);
    let outcome = drive(
        &Plan {
            warmup: Duration::ZERO,
            ..plan(address, Pacing::Closed)
        },
        paths,
    )
    .unwrap();
    assert_eq!(outcome.errors.get("io"), Some(&1), "{:?}", outcome.errors);
    assert!(served.load(Ordering::SeqCst) > 7);
}

#[test]
fn a_run_that_is_told_to_stop_ends_there_and_accounts_for_what_fell_due() {
    let (address, served) = echo(0);
    let stop = Notify::new();
    let mut plan = plan(address, Pacing::Open { rate: 500.0 });
    plan.window = Duration::from_secs(60);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while served.load(Ordering::SeqCst) < 100 && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
            stop.notify_one();
        });
        drive_until(&plan, paths, &stop).unwrap()
    });
    assert!(outcome.window < plan.window, "{:?}", outcome.window);
    let unsent = outcome.errors.get("not_sent").copied().unwrap_or(0);
    let due = (outcome.window + plan.warmup).as_secs_f64() * 500.0;
    let seen = (served.load(Ordering::SeqCst) + unsent) as f64;
    assert!((seen - due).abs() <= 2.0, "{seen} of {due}: {:?}", outcome.errors);
}

#[test]
fn what_one_target_refuses_the_next_of_its_group_takes() {
    let kept = crate::ports::Ports::keep(1).unwrap();
    let dead = kept.addresses().unwrap()[0];
    let (alive, served) = echo(0);
    let mut plan = plan(alive, Pacing::Closed);
    plan.targets = vec![dead, dead, alive, dead];
    plan.refused = Refused::Elsewhere { groups: 2 };
    plan.connections = 1;
    let outcome = drive(&plan, paths).unwrap();
    assert!(!outcome.errors.contains_key("connect"), "{:?}", outcome.errors);
    assert!(served.load(Ordering::SeqCst) > 0);
    // The other group has nobody who takes anything.
    plan.connections = 2;
    let outcome = drive(&plan, paths).unwrap();
    assert!(outcome.errors.contains_key("connect"), "{:?}", outcome.errors);
    plan.refused = Refused::Elsewhere { groups: 3 };
    assert!(drive(&plan, paths).is_err(), "four targets are not three groups");
}
