//! `whoami`: whom the server takes this token for.

use clap::Args;
use serde_json::json;

use super::remote::Remote;
use super::{Failure, Result, output, secret};

/// Show whom the server takes the token for
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest whoami demo --token cnt_…\n  cloudnest whoami --token cno_…      an operator's token belongs to no tenant"
)]
pub(super) struct Whoami {
    /// The token's tenant; left out for an operator's token
    tenant: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Whoami {
    pub(super) async fn run(self) -> Result {
        match &self.tenant {
            Some(tenant) => self.of_tenant(tenant).await,
            None if self.remote.token().is_some_and(secret::is_operator_token) => self.operator().await,
            None => Err(Failure::Usage("name the token's tenant: cloudnest whoami TENANT".into())),
        }
    }

    async fn of_tenant(&self, tenant: &str) -> Result {
        let me = self
            .remote
            .client()?
            .me(tenant)
            .await
            .map_err(|error| self.remote.failure("ask who this token is", error))?
            .body;
        if self.json {
            return output::json(&me);
        }
        let role = format!("{:?}", me.role).to_lowercase();
        let scopes = me
            .scopes
            .map_or_else(|| "all collections".to_owned(), |scopes| scopes.join(", "));
        let expires = me.expires_at.unwrap_or_else(|| "never".to_owned());
        output::line(&format!(
            "{} ({}), {role} of {}; {scopes}; expires {expires}",
            me.name, me.principal, me.tenant
        ))
    }

    async fn operator(&self) -> Result {
        // Any call that takes an operator's token only shows whether this is one.
        let cells = self
            .remote
            .client()?
            .cells()
            .await
            .map_err(|error| self.remote.failure("ask who this token is", error))?;
        if self.json {
            return output::json(&json!({ "operator": true, "cells": cells.len() }));
        }
        output::line(&format!("operator of {}", self.remote.urls().join(", ")))
    }
}
