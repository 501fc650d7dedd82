//! The server that a client command speaks to, and what its errors mean to the one who typed the command.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use api::body::control::Operation;
use api::client::{Balance, Client, ClientError};
use clap::Args;

use super::secret::is_operator_token;
use super::{Failure, Result, authorities};

/// The URL of a server started by `cloudnest dev`.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:7400";
/// Most attempts after the first where a call may be made again.
const RETRIES: u32 = 5;
/// Between two looks at long work.
const LOOK: Duration = Duration::from_millis(200);

/// Server and token of a client command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Remote {
    /// Base URL of the server; several of one region, separated by commas: the first that works
    #[arg(long, env = "CLOUDNEST_URL", value_delimiter = ',', default_value = DEFAULT_URL, value_name = "URL")]
    url: Vec<String>,
    /// Token: an operator's (cno_…) or a tenant's (cnt_…)
    #[arg(long, env = "CLOUDNEST_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Certificates (PEM) of the authorities that an https:// server's must come from; this machine's own list where it is left out
    #[arg(long, env = "CLOUDNEST_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Remote {
    /// Other servers with a token.
    pub(super) fn new(url: Vec<String>, token: Option<String>) -> Self {
        Self { url, token, ca: None }
    }

    /// The same servers with a token.
    pub(super) fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The base URLs, as given.
    pub(super) fn urls(&self) -> &[String] {
        &self.url
    }

    /// The token, where there is one.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref().map(str::trim).filter(|token| !token.is_empty())
    }

    /// A client that makes harmless calls again.
    pub(super) fn client(&self) -> Result<Client> {
        self.client_of(&self.url)
    }

    /// The same with these base URLs.
    pub(super) fn client_of(&self, urls: &[String]) -> Result<Client> {
        let first = urls.first().map_or(DEFAULT_URL, String::as_str);
        let client = Client::new(first, self.token().unwrap_or_default())
            .and_then(|client| client.with_base_urls(urls, Balance::Failover));
        let client = client.and_then(|client| match urls.iter().any(|url| url.starts_with("https://")) {
            true => client.with_authorities(&authorities::read(self.ca.as_deref())?),
            false => Ok(client),
        });
        match client {
            Ok(client) => Ok(client.with_retries(RETRIES)),
            Err(error) => Err(Failure::Usage(error.to_string())),
        }
    }

    /// How long work ended; it is looked at until then.
    pub(super) async fn follow(&self, client: &Client, mut operation: Operation, what: &str) -> Result<Operation> {
        while operation.status == "running" {
            tokio::time::sleep(LOOK).await;
            let looked = client.operation(operation.id).await;
            operation = looked.map_err(|error| self.failure(&format!("follow {what}"), error))?.body;
        }
        Ok(operation)
    }

    /// The failure that an error of the client is, in words that say what to do.
    pub(super) fn failure(&self, doing: &str, error: ClientError) -> Failure {
        Failure::Failed(anyhow!("{doing}: {}", self.explain(&error)))
    }

    /// What an error means here.
    pub(super) fn explain(&self, error: &ClientError) -> String {
        let Some(problem) = error.problem() else {
            return format!(
                "no answer from {} ({error})\n  Is the server running? Start one with `cloudnest dev`, or name another with --url or CLOUDNEST_URL",
                self.url.join(", ")
            );
        };
        let mut text = problem.detail.clone();
        if text.is_empty() {
            text.clone_from(&problem.title);
        }
        for wrong in problem.errors.iter().filter(|_| problem.errors.len() > 1) {
            // Writing to a text cannot fail.
            let _ = write!(text, "\n  {}: {}", wrong.pointer, wrong.message);
        }
        let hint = match (problem.code.as_str(), self.token()) {
            ("unauthenticated", None) => "this needs a token: give one with --token or CLOUDNEST_TOKEN".to_owned(),
            ("unauthenticated", Some(_)) => "the server refused the token: check --token or CLOUDNEST_TOKEN".to_owned(),
            ("not_found", token) if !token.is_some_and(is_operator_token) => {
                "a wrong name and a token of another tenant look the same".to_owned()
            }
            ("wrong_region", _) => match (&problem.region, &problem.endpoint) {
                (Some(region), Some(endpoint)) => format!("it is served in {region}: use --url {endpoint}"),
                _ => "use --url with a server of its region".to_owned(),
            },
            ("unrecognised", _) => format!("what answers at {} is not CloudNest", self.url.join(", ")),
            _ => String::new(),
        };
        if !hint.is_empty() {
            let _ = write!(text, "\n  {hint}");
        }
        match (&problem.request_id, problem.status) {
            (Some(id), 500..) => format!("{text} ({}, request {id})", problem.code),
            _ => format!("{text} ({})", problem.code),
        }
    }
}

/// A key under which a call has one effect however often it is made.
pub(super) fn idempotency_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::error::{Code, Elsewhere, Error};
    use api::problem::Problem;

    fn explained(token: Option<&str>, error: &Error) -> String {
        let remote = Remote::new(vec!["http://127.0.0.1:1".into()], token.map(str::to_owned));
        remote.explain(&ClientError::Problem(Box::new(Problem::of(error))))
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = Error::new(Code::Unauthenticated, "a token is needed");
        assert!(explained(None, &refused).contains("this needs a token: give one with --token"));
        assert!(explained(Some("cnt_x"), &refused).contains("the server refused the token"));
        let mut elsewhere = Error::new(Code::WrongRegion, "acme is in eu-west-1");
        elsewhere.elsewhere = Some(Elsewhere {
            region: "eu-west-1".into(),
            endpoint: "http://127.0.0.1:7421".into(),
        });
        assert!(explained(None, &elsewhere).contains("use --url http://127.0.0.1:7421"));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let remote = Remote::new(vec!["http://127.0.0.1:1".into()], None);
        let client = remote.client().expect("a client").with_retries(0);
        let error = client.livez().await.expect_err("nobody listens on port 1");
        let text = remote.explain(&error);
        assert!(
            text.contains("no answer from http://127.0.0.1:1") && text.contains("cloudnest dev"),
            "{text}"
        );
    }
}
