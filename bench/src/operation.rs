//! Something that the server answers with an operation, and waiting for its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::control::Operation;
use rig::http::{Request, get, send};

/// Between two questions how far it is.
const POLL: Duration = Duration::from_millis(50);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// From the request until the operation was done.
    pub took: Duration,
    /// What it said last.
    pub operation: Operation,
}

/// Sends a request that is answered with 202 and an operation, and asks for the operation at the same node until it is done. `path`:
/// where operations are. Blocks.
pub fn carry_out(address: SocketAddr, request: Request<'_>, path: &str, within: Duration) -> Result<Done> {
    let started = Instant::now();
    let (what, token) = (format!("{} {}", request.method, request.path), request.token);
    let (status, body) = send(address, request, TIMEOUT)?;
    ensure!(status == 202, "{what}: {status} {}", String::from_utf8_lossy(&body));
    let mut operation: Operation = serde_json::from_slice(&body).context("read the operation")?;
    let path = format!("{path}/{}", operation.id);
    while operation.status == "running" && started.elapsed() < within {
        std::thread::sleep(POLL);
        let body = get(address, &path, token, TIMEOUT)?;
        operation = serde_json::from_slice(&body).context("read the operation")?;
    }
    ensure!(operation.status == "done", "{what} is not done: {operation:?}");
    Ok(Done {
        took: started.elapsed(),
        operation,
    })
}
