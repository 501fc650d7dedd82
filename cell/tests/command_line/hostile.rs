//! A whole node against everything that a stranger may put where a value belongs: never a fault of the server, and what was taken can be
//! read again.

#[path = "../../../api/tests/http/hostile/corpus.rs"]
#[allow(dead_code, reason = "the front's own tests use more of it")]
mod corpus;

use api::client::{Call, Client};
use api::problem::Problem;

use crate::dev;
use crate::process::{DEADLINE, run};

#[test]
fn odd_values_are_taken_or_refused_and_what_was_taken_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = dev::start(dir.path());
    let client = Client::new(&server.url, &server.demo).unwrap().with_timeout(DEADLINE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let calls = [corpus::bodies("demo"), corpus::parameters("demo"), corpus::giants("demo")].concat();
    let taken = runtime.block_on(async {
        let mut taken = 0;
        for call in calls {
            taken += usize::from(judge(&client, call).await);
        }
        taken
    });
    assert!(taken > 100, "most oddities are allowed in a text: {taken}");
    let lines = run(&["tenant", "export", "demo", "--url", &server.url, "--token", &server.demo]);
    assert_eq!(lines.code, 0, "{}", lines.err);
    let records: Vec<serde_json::Value> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.len() > taken / 4, "{} lines", records.len());
    assert!(server.running.stop().success());
}

/// Makes a call; true: it was taken.
async fn judge(client: &Client, call: Call) -> bool {
    let shown: String = String::from_utf8_lossy(&call.body).chars().take(120).collect();
    let shown = format!("{} {} {:?} {shown}", call.method, call.path, call.headers);
    let size = call.body.len();
    let answer = match client.call(call).await {
        Ok(answer) => answer,
        // Whoever sends what is refused from its head may find the connection closed before all is sent.
        Err(error) => {
            assert!(size > 1_000_000, "{shown}: {error}");
            return false;
        }
    };
    let status = answer.status.as_u16();
    assert!((200..500).contains(&status), "{shown}: {status} {:?}", answer.body);
    if status >= 400 && !answer.body.is_empty() {
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{shown}: {:?}", answer.body));
        assert_eq!(problem.status, status, "{shown}");
    }
    status < 300
}
