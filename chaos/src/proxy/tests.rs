use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;

/// Longer than anything here takes, shorter than a person waits.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for loopback, so that silence means silence.
const SILENCE: Duration = Duration::from_millis(150);

/// Two nodes, of which the second sends back what it gets.
fn echo() -> (Network, TcpStream) {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let peers = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let network = Network::start(&peers).unwrap();
    let [_, second] = listeners;
    std::thread::spawn(move || {
        for stream in second.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length) = stream.read(&mut buffer) {
                    if length == 0 || stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let stream = dial(&network);
    (network, stream)
}

fn dial(network: &Network) -> TcpStream {
    let stream = TcpStream::connect(network.address(0, 1).unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn what_passes_comes_back_and_an_end_is_passed_on() {
    let (network, mut stream) = echo();
    assert_eq!(ask(&mut stream, b"hello").unwrap(), b"hello");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(network.touched(0, 1), 0);
}

#[test]
fn a_cut_resets_what_is_there_and_refuses_what_comes() {
    let (network, mut stream) = echo();
    ask(&mut stream, b"hello").unwrap();
    network.set_both(0, 1, Mode::Cut);
    assert!(stream.read(&mut [0; 8]).is_err(), "a reset, not an end");
    assert!(ask(&mut dial(&network), b"x").is_err());
    assert!(network.touched(1, 0) >= 2);
    network.heal();
    assert_eq!(ask(&mut dial(&network), b"back").unwrap(), b"back");
}

#[test]
fn one_way_swallows_one_direction_and_resets_when_it_heals() {
    let (network, mut stream) = echo();
    ask(&mut stream, b"hello").unwrap();
    network.set(1, 0, Mode::Swallow);
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = ask(&mut stream, b"lost").unwrap_err();
    assert!(
        matches!(silent.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        "{silent}"
    );
    stream.set_read_timeout(Some(LONG)).unwrap();
    network.heal();
    assert!(stream.read(&mut [0; 8]).is_err(), "bytes are missing: it must not go on");
    assert_eq!(ask(&mut dial(&network), b"back").unwrap(), b"back");
}

#[test]
fn a_stall_loses_nothing() {
    let (network, mut stream) = echo();
    ask(&mut stream, b"hello").unwrap();
    network.set(0, 1, Mode::Stall);
    stream.write_all(b"later").unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(stream.read(&mut [0; 8]).is_err());
    stream.set_read_timeout(Some(LONG)).unwrap();
    network.heal();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"later");
}

#[test]
fn delay_and_bandwidth_take_their_time() {
    let (network, mut stream) = echo();
    ask(&mut stream, b"hello").unwrap();
    network.set(0, 1, Mode::Delay(Duration::from_millis(80), Duration::ZERO));
    let start = Instant::now();
    assert_eq!(ask(&mut stream, b"late").unwrap(), b"late");
    assert!(start.elapsed() >= Duration::from_millis(80));
    network.set(0, 1, Mode::Bandwidth(10_000));
    let start = Instant::now();
    ask(&mut stream, &[7; 2_000]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    assert!(network.touched(0, 1) >= 2);
}

#[test]
fn a_distance_stays_when_the_network_heals() {
    let (network, mut stream) = echo();
    network.part(0, 1, Duration::from_millis(40));
    network.set(0, 1, Mode::Pass);
    network.heal();
    let start = Instant::now();
    assert_eq!(ask(&mut stream, b"far").unwrap(), b"far");
    assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
}

#[test]
fn a_half_open_connection_is_silent_and_new_ones_pass() {
    let (network, mut stream) = echo();
    ask(&mut stream, b"hello").unwrap();
    network.half_open(0, 1);
    assert_eq!(ask(&mut dial(&network), b"new").unwrap(), b"new");
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(ask(&mut stream, b"old").is_err());
    stream.set_read_timeout(Some(LONG)).unwrap();
    network.reset(0, 1);
    assert!(stream.read(&mut [0; 8]).is_err());
}
