//! Restores from backups: what a tenant was at a time becomes a new tenant beside it.
//!
//! Where the time lies is found while the request waits, so that a time that cannot be had is refused at once. The rest is long work: the state
//! is made in a store of its own (`backup::replay`), and only when it is whole the new tenant is entered and brought to its cell as any archive
//! is (`node::arriving`). Nothing of it is there before, and nothing of it stays where that fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use api::body::backup::TenantRestore;
use api::body::control::Operation;
use api::error::{Code, Error, Result};
use api::ids::Slug;
use api::service::{ArchivedTenant, Idempotency, Operator};

use super::Front;
use super::error::internal;
use super::landing;
use super::recovery::Teller;
use super::tenant_life::show_operation;
use super::tenants::{first_token, operators_key, wrong};
use crate::access::secret;
use crate::access::token_create::TokenCreate;
use crate::backup::find::{self, Found, Source};
use crate::backup::replay::{self, ReplayError, Wanted};
use crate::backup::scratch::Restored;
use crate::backup::stored::Stored;
use crate::backup::vault::{Vault, VaultError};
use crate::directory::rows::Tenant;
use crate::machine::rows::Actor;
use crate::node::arriving::Arrival;
use crate::records::time::{format_stamp, parse_timestamp};

/// What a restore of a tenant has to go by.
struct Order {
    new: ArchivedTenant,
    plan: String,
    from: String,
    /// The tenant of that name that there is now, if it was made before the time.
    known: Option<Tenant>,
    until: Option<u64>,
    sources: Vec<Source>,
    /// A cell whose archive ends before the time, by name, and when.
    behind: Option<(String, u64)>,
    vault: Vault,
    token: Option<String>,
    actor: Actor,
}

impl Front {
    pub(super) async fn restore_tenant(
        &self,
        operator: &Operator,
        slug: &Slug,
        wanted: TenantRestore,
        key: Option<Idempotency>,
    ) -> Result<Operation> {
        let key = key.map(|key| operators_key(operator, key));
        if let Some(begun) = self.restore_begun(key.as_ref()).await? {
            return Ok(begun);
        }
        let plan = self.plan(wanted.plan.as_deref()).await?;
        let until = time(wanted.at.as_deref())?;
        self.platform.freshen_directory().await;
        let known = self.platform.tenant(&wanted.from)?;
        let region = self.platform.me.region.clone();
        if let Some(elsewhere) = known.as_ref().filter(|tenant| tenant.region != region) {
            return Err(self.other_region(&elsewhere.region));
        }
        if self.platform.tenant(slug.as_str())?.is_some() {
            let detail = format!("there is a tenant {:?} already: restore under another name", slug.as_str());
            return Err(Error::new(Code::AlreadyExists, detail));
        }
        let place = self.restore_place()?;
        let vault = self.vault().await?;
        let first: Vec<u64> = known.iter().map(|tenant| tenant.cell).collect();
        let cells = find::cells(&vault, &first).await.map_err(|error| unread(&error))?;
        let found = find::find(&vault, &cells, until).await.map_err(|error| unread(&error))?;
        let of: Vec<u64> = self.platform.region_cells().iter().map(|cell| cell.number).collect();
        let latest = found.latest(known.as_ref().map(|tenant| tenant.cell), &of);
        check_time(&found, latest, known.as_ref(), until)?;
        let behind = until.and_then(|until| self.named(found.behind(&of, until)?));
        let token = match wanted.keep_tokens {
            true => None,
            false => Some(secret::generate(secret::TENANT).map_err(|error| internal(&error))?),
        };
        let order = Order {
            new: ArchivedTenant {
                slug: slug.clone(),
                region,
                plan: None,
                keeps_tokens: wanted.keep_tokens,
            },
            plan,
            from: wanted.from,
            // A name may have been another's before.
            known: known.filter(|tenant| until.is_none_or(|until| tenant.created <= until)),
            until,
            sources: found.sources,
            behind,
            vault,
            token: token.clone(),
            actor: Actor::Operator(operator.name.to_string()),
        };
        let teller = Teller::new(self, false, slug.as_str());
        let begun = teller.begin(key).await?;
        if begun.id != teller.operation {
            return Ok(show_operation(&begun));
        }
        let front = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let done = Arc::clone(&teller.done);
            teller.follow(front.bring_back(order, done)).await;
        });
        let mut shown = show_operation(&begun);
        shown.admin_token = token;
        Ok(shown)
    }

    /// A cell of the region by its name.
    fn named<T>(&self, (number, what): (u64, T)) -> Option<(String, T)> {
        let entries = self.platform.region_cells();
        let entry = entries.into_iter().find(|entry| entry.number == number)?;
        Some((entry.name, what))
    }

    /// The store of the region's backups.
    pub(super) async fn vault(&self) -> Result<Vault> {
        let region = &self.platform.me.region;
        let backup = self.platform.config.backup(region).ok_or_else(|| {
            let detail = format!("{region} has no backup: there is no [region.backup] in the configuration of this node");
            Error::new(Code::Unavailable, detail)
        })?;
        let opened = Vault::open(&backup.store, &self.platform.backups.bounds).await;
        opened.map_err(|error| unread(&error))
    }

    /// Restores a tenant, and has it served.
    async fn bring_back(self, order: Order, done: Arc<AtomicU64>) -> std::result::Result<(), String> {
        let (restored, stored) = self.find_back(&order, &done).await?;
        let entered = self.enter(order.actor.clone(), &order.new, order.plan.clone()).await;
        let tenant = entered.map_err(|error| error.detail)?;
        let arrival = Arrival::new(&self.platform, &tenant);
        let position = restored.summary.position;
        let come = async {
            let file = restored.file.try_clone().map_err(|error| internal(&error))?;
            arrival.bring(file, order.new.keeps_tokens, Some(&stored)).await?;
            if let Some(text) = &order.token {
                let row = first_token(text);
                arrival.at_cell(order.actor.clone(), TokenCreate { row }).await?;
            }
            Ok::<(), Error>(())
        };
        let ended = landing::end(&arrival, &tenant.slug, come.await, &order.actor).await;
        let (landed, ()) = ended.map_err(|error| error.detail)?;
        let (tenant, from) = (landed.slug, order.from);
        tracing::info!(tenant, from, position, "a tenant was restored from the backup");
        Ok(())
    }

    /// What the tenant was, from the first source that knows it.
    async fn find_back(&self, order: &Order, done: &Arc<AtomicU64>) -> std::result::Result<(Restored, Stored), String> {
        let told = |error: ReplayError| error.to_string();
        for source in &order.sources {
            let uids = match &order.known {
                Some(tenant) => vec![tenant.uid],
                None => replay::numbers(&order.vault, source, &order.from, order.until)
                    .await
                    .map_err(told)?,
            };
            for uid in uids {
                let (until, root) = (order.until, self.scratch());
                let wanted = Wanted { uid, until };
                if let Some(mut restored) = replay::replay(&order.vault, source, &wanted, root, done)
                    .await
                    .map_err(told)?
                {
                    let chunks = std::mem::take(&mut restored.chunks);
                    let traffic = &self.platform.backups.traffic;
                    let stored = Stored::new(&order.vault, source, uid, chunks, traffic, done);
                    return Ok((restored, stored));
                }
            }
        }
        let when = order
            .until
            .map_or_else(|| "at the end of the archive".to_owned(), format_stamp);
        // It may have been in another cell then than it is now.
        if let Some((cell, ends)) = &order.behind {
            return Err(format!(
                "no cell that is archived until {when} had a tenant {:?} then, and {cell} is archived until {} only: ask again later",
                order.from,
                format_stamp(*ends)
            ));
        }
        Err(format!(
            "the backup of {} has no tenant {:?} that was served {when}: it was not made yet, or deleted already; choose another time",
            order.new.region, order.from
        ))
    }

    /// Where stores of restores are made.
    pub(super) fn scratch(&self) -> PathBuf {
        self.platform.scratch.clone()
    }
}

/// A time that somebody wrote.
pub(super) fn time(at: Option<&str>) -> Result<Option<u64>> {
    let read = |text: &str| {
        let micros = parse_timestamp(text).and_then(|micros| u64::try_from(micros).ok());
        micros.ok_or_else(|| wrong("/at", format!("{text:?} is not a time: write one as 2026-11-26T10:00:00Z")))
    };
    at.map(read).transpose()
}

/// Refuses a time that is not in the backup.
pub(super) fn check_time(found: &Found, latest: Option<u64>, known: Option<&Tenant>, until: Option<u64>) -> Result<()> {
    // Of the first base alone nothing can be had yet: what is archived behind it comes with the next rounds.
    let reach = found.earliest.zip(latest).filter(|(earliest, latest)| earliest <= latest);
    let Some((earliest, latest)) = reach else {
        let detail = "there is no backup of any cell of this region yet";
        return Err(Error::new(Code::Unavailable, detail));
    };
    let Some(until) = until else { return Ok(()) };
    let span = |earliest: u64| {
        format!(
            "the backup reaches from {} to {}",
            format_stamp(earliest),
            format_stamp(latest)
        )
    };
    if until > latest {
        let what = format!(
            "is later than what is archived: {}; choose a time in between, or leave it out",
            span(earliest)
        );
        return Err(wrong("/at", what));
    }
    if until < earliest {
        let what = format!("is before what is kept: {}; choose a time in between", span(earliest));
        return Err(wrong("/at", what));
    }
    if found.sources.is_empty() {
        let what = format!(
            "lies in a time of which nothing was archived: {}, with a gap there; choose another",
            span(earliest)
        );
        return Err(wrong("/at", what));
    }
    // Another one may have had the name before.
    if let Some(tenant) = known
        && until < tenant.created
        && !found
            .sources
            .iter()
            .any(|source| source.manifest.parts.iter().any(|part| part.slug == tenant.slug))
    {
        let what = format!(
            "is before the tenant was made: {}; choose a time in between",
            span(tenant.created.max(earliest))
        );
        return Err(wrong("/at", what));
    }
    Ok(())
}

/// The backup cannot be read.
pub(super) fn unread(error: &VaultError) -> Error {
    Error::new(Code::Unavailable, format!("the backup cannot be read: {error}"))
}
