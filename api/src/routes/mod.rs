//! The routes: what each reads from its request, which method of the service it stands for, and what it answers.

pub(crate) mod archive;
pub(crate) mod collections;
pub(crate) mod control;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod live;
pub(crate) mod probes;
pub(crate) mod records;
pub(crate) mod search;
pub(crate) mod streams;
pub(crate) mod table;
pub(crate) mod tokens;
pub(crate) mod usage;
pub(crate) mod versions;

use http::{HeaderMap, StatusCode};

use self::table::Endpoint;
use crate::body::record::Page;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::gate;
use crate::query::Query;
use crate::reply::{self, Marks, Reply};
use crate::service::RequestContext;

/// Serves a request behind a tenant's gate.
pub(crate) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    use Endpoint as E;
    match asked.found.route.endpoint {
        E::Record => records::show(asked, ctx).await,
        E::RecordCreate => records::create(asked, ctx).await,
        E::RecordPatch => records::patch(asked, ctx).await,
        E::RecordPut => records::put(asked, ctx).await,
        E::RecordDelete => records::delete(asked, ctx).await,
        E::Records => records::list(asked, ctx).await,
        // The rare ones are boxed, so that the common ones have small futures.
        E::History => Box::pin(versions::history(asked, ctx)).await,
        E::Restore => Box::pin(versions::restore(asked, ctx)).await,
        E::Batch => Box::pin(records::batch(asked, ctx)).await,
        E::Me => Box::pin(tokens::me(asked, ctx)).await,
        E::Usage => Box::pin(usage::show(asked, ctx)).await,
        E::Tokens => Box::pin(tokens::list(asked, ctx)).await,
        E::TokenCreate => Box::pin(tokens::create(asked, ctx)).await,
        E::TokenDelete => Box::pin(tokens::delete(asked, ctx)).await,
        E::Collections => Box::pin(collections::list(asked, ctx)).await,
        E::Collection => Box::pin(collections::show(asked, ctx)).await,
        E::CollectionPut => Box::pin(collections::put(asked, ctx)).await,
        E::CollectionDelete => Box::pin(collections::delete(asked, ctx)).await,
        E::TenantOperations => Box::pin(collections::operations(asked, ctx)).await,
        E::TenantOperation => Box::pin(collections::operation(asked, ctx)).await,
        E::OperationCancel => Box::pin(collections::cancel(asked, ctx)).await,
        E::Import => Box::pin(streams::import(asked, ctx)).await,
        E::TenantImport => Box::pin(streams::tenant_import(asked, ctx)).await,
        E::Export => Box::pin(streams::export(asked, ctx)).await,
        E::Archive => Box::pin(archive::for_admin(asked, ctx)).await,
        E::Events => Box::pin(events::answer(asked, ctx)).await,
        E::Search => Box::pin(search::answer(asked, ctx)).await,
        E::SearchSettings => Box::pin(search::settings(asked, ctx)).await,
        E::SearchSet => Box::pin(search::set(asked, ctx)).await,
        E::Files => Box::pin(files::list(asked, ctx)).await,
        E::FileCreate => Box::pin(files::create(asked, ctx)).await,
        E::LinksRevoke => Box::pin(files::links_revoke(asked, ctx)).await,
        E::UploadCreate | E::Upload | E::UploadWrite | E::UploadDelete => Box::pin(files::tus::answer(asked, ctx)).await,
        E::File => Box::pin(files::show(asked, ctx)).await,
        E::FilePatch => Box::pin(files::patch(asked, ctx)).await,
        E::FileDelete => Box::pin(files::delete(asked, ctx)).await,
        E::FileContent => Box::pin(files::content::answer(asked, ctx)).await,
        E::FilePut => Box::pin(files::put(asked, ctx)).await,
        E::LinkCreate => Box::pin(files::link(asked, ctx)).await,
        E::FileVersions => Box::pin(files::versions(asked, ctx)).await,
        E::FileVersionDelete => Box::pin(files::version_delete(asked, ctx)).await,
        E::FileRestore => Box::pin(files::restore(asked, ctx)).await,
        E::Live => Box::pin(live::connect(asked, ctx)).await,
        E::Document => Box::pin(live::edit(asked, ctx)).await,
        E::Presence => Box::pin(live::presence(asked, ctx)).await,
        other => Err(Error::new(Code::Internal, format!("{other:?} is not a tenant's route"))),
    }
}

/// Whether an operator asks for a token of a tenant.
pub(crate) fn is_minting(asked: &Asked<'_>) -> bool {
    asked.found.route.endpoint == Endpoint::TokenCreate && gate::is_operators(&asked.head.headers)
}

/// Whether a request shows who uses up what a tenant has, or takes it from them: it is served though there is nothing left.
pub(crate) fn is_remedy(asked: &Asked<'_>) -> bool {
    use Endpoint as E;
    matches!(
        asked.found.route.endpoint,
        E::Usage | E::Tokens | E::TokenDelete | E::LinksRevoke
    )
}

/// What a read of something versioned is answered with: 304 where the client has that version.
fn versioned<T: serde::Serialize>(headers: &HeaderMap, body: &T, version: u64, position: u64) -> Result<Reply> {
    let known = headers.get(http::header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = known.is_some_and(|known| {
        known
            .split(',')
            .any(|tag| tag.trim().trim_start_matches("W/") == format!("\"{version}\""))
    });
    let reply = if same {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::json(StatusCode::OK, body)?
    };
    Ok(reply.at(position).tagged(version))
}

/// One page of a list that is short enough to be held as a whole, by key.
fn page<T>(query: &mut Query, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Result<Page<T>> {
    let limit = query.limit()?;
    let counted = query.flag("count")?.unwrap_or(false).then_some(items.len() as u64);
    items.sort_by_cached_key(&key);
    if let Some(cursor) = query.cursor()? {
        // The cursor is the last key of the page before; it need not be there any more.
        items.retain(|item| key(item) > cursor);
    }
    query.finish()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(&key) } else { None };
    Ok(Page {
        items,
        next_cursor,
        count: counted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_is_cut_into_pages_without_loss() {
        let all = || vec!["c", "a", "b"];
        let first = page(
            &mut Query::parse(Some("limit=2&count=true")).expect("a query"),
            all(),
            |item| item.to_string(),
        );
        let first = first.expect("a page");
        assert_eq!(
            (first.items, first.next_cursor.as_deref(), first.count),
            (vec!["a", "b"], Some("b"), Some(3))
        );
        let second = page(&mut Query::parse(Some("limit=2&cursor=b")).expect("a query"), all(), |item| {
            item.to_string()
        });
        let second = second.expect("a page");
        assert_eq!((second.items, second.next_cursor), (vec!["c"], None));
        for wrong in ["cursor=", "x=1"] {
            let page = page(&mut Query::parse(Some(wrong)).expect("a query"), all(), |item| {
                item.to_string()
            });
            assert!(page.is_err(), "{wrong}");
        }
    }
}
