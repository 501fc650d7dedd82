//! `token create`: a new API key; its secret is printed once.

use api::body::token::{NewToken, Role};
use api::ids::Slug;
use clap::{Args, ValueEnum};

use super::super::remote::{Remote, idempotency_key};
use super::super::tenant::slug;
use super::super::{Result, output};

/// Create an API key and print its secret, once
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  cloudnest token create acme --name importer --role member --scope tasks --expires 2027-01-01T00:00:00Z --token cnt_…\n\nAn operator's token can make keys for any tenant; that is noted in the tenant's events."
)]
pub(crate) struct Create {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// What it is for
    #[arg(long)]
    name: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = RoleName::Member)]
    role: RoleName,
    /// A collection that it may touch; repeat it for several; all where it is left out
    #[arg(long = "scope", value_name = "COLLECTION")]
    scopes: Vec<String>,
    /// When it stops working: RFC 3339; never where it is left out
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Everything, tokens of owners included
    Owner,
    /// Schema and tokens, except those of owners
    Admin,
    /// Reads and writes records
    Member,
    /// Reads records
    Guest,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Admin => Self::Admin,
            RoleName::Member => Self::Member,
            RoleName::Guest => Self::Guest,
        }
    }
}

impl Create {
    pub(crate) async fn run(self) -> Result {
        let new = NewToken {
            name: self.name,
            role: self.role.into(),
            scopes: (!self.scopes.is_empty()).then_some(self.scopes),
            expires_at: self.expires,
        };
        let created = self
            .remote
            .client()?
            .token_create(self.tenant.as_str(), &new, Some(&idempotency_key()))
            .await;
        let token = created.map_err(|error| self.remote.failure("create the token", error))?.body;
        if self.json {
            return output::json(&token);
        }
        output::line(&format!("{:<8} {}", "id", token.id))?;
        match &token.secret {
            Some(secret) => output::line(&format!("{:<8} {secret}", "token"))?,
            // A retry was answered: the key is there, its secret went with the reply that got lost.
            None => eprintln!("The secret got lost with a broken connection: revoke the key and make another."),
        }
        Ok(())
    }
}

/// A time as the server takes it.
fn time(text: &str) -> std::result::Result<String, String> {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(time.to_string()),
        Err(_) => Err("write a time such as 2027-01-01T00:00:00Z".into()),
    }
}
