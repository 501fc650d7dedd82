//! Search over HTTP on real nodes: each has an index of its own, and all answer alike.

use std::collections::BTreeSet;
use std::time::Duration;

use api::body::control::TenantMove;
use api::body::search::{SearchQuery, SearchReply};
use api::client::{Call, Client, Method};
use api::ids::Id;
use api::service::Consistency;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::until;
use serde_json::{Value as Json, json};

/// Records of a tenant.
const RECORDS: usize = 400;
/// How long a node that was killed may take to be there again.
const RESTART: Duration = Duration::from_secs(60);

fn up() -> Cluster {
    let mut layout = Layout::one_region(3).expect("a layout");
    layout.dedicated = 1;
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

fn words(q: &str) -> SearchQuery {
    SearchQuery {
        q: q.to_owned(),
        ..SearchQuery::default()
    }
}

/// A client of each node.
fn clients(cluster: &Cluster, tenant: &Tenant) -> Vec<Client> {
    let nodes = cluster.nodes().iter();
    let of = |address| tenant::client_of(address, &tenant.token).expect("a client").with_retries(20);
    nodes.map(|node| of(node.api)).collect()
}

async fn search(client: &Client, tenant: &Tenant, query: &SearchQuery, fresh: Option<Consistency>) -> SearchReply {
    client.search(&tenant.slug, query, fresh).await.expect("an answer").body
}

fn ids(reply: &SearchReply) -> Vec<Id> {
    reply.items.iter().map(|item| item.record.id).collect()
}

/// All pages of a search.
async fn pages(client: &Client, tenant: &Tenant, q: &str, limit: usize) -> Vec<Id> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let query = SearchQuery {
            limit,
            cursor: cursor.clone(),
            ..words(q)
        };
        let page = search(client, tenant, &query, Some(Consistency::Strong)).await;
        all.extend(ids(&page));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn fill(tenant: &Tenant, word: &str) {
    for batch in 0..RECORDS / 100 {
        let one = |number: usize| {
            let title = format!("Ticket {word} {}", "again ".repeat(number % 5));
            let fields = json!({ "title": title, "description": "what was said of it ".repeat(number % 7), "status": "todo" });
            json!({ "op": "create", "collection": "tasks", "fields": fields })
        };
        let operations: Vec<Json> = (batch * 100..(batch + 1) * 100).map(one).collect();
        let body = json!({ "operations": operations }).to_string();
        let call = Call::new(Method::POST, format!("/v1/tenants/{}/batch", tenant.slug));
        let answer = tenant
            .client
            .call(call.body("application/json", body))
            .await
            .expect("an answer");
        assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
    }
}

async fn create(tenant: &Tenant, title: &str) -> Id {
    let new = serde_json::from_value(json!({ "fields": { "title": title } })).expect("a record");
    let made = tenant.client.record_create(&tenant.slug, "tasks", &new, None).await;
    made.expect("stored").body.id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_finds_the_same_soon_and_at_once_where_it_is_asked_to() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let globex = tenant::create(&cluster, "globex", Some("workspace")).await.expect("a tenant");
    fill(&acme, "kangaroo").await;
    fill(&globex, "wallaby").await;
    let nodes = clients(&cluster, &acme);
    let first = search(&nodes[0], &acme, &words("ticket kangaroo"), Some(Consistency::Strong)).await;
    assert_eq!(first.total.expect("a total").value, RECORDS as u64);
    // Pages are the same, wherever each comes from.
    let whole = pages(&nodes[0], &acme, "ticket again", 500).await;
    assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), RECORDS * 4 / 5);
    for node in &nodes {
        assert_eq!(pages(node, &acme, "ticket again", 37).await, whole);
        assert_eq!(
            search(node, &acme, &words("wallaby"), Some(Consistency::Strong))
                .await
                .items
                .len(),
            0
        );
        let facets = SearchQuery {
            facets: vec!["status".to_owned()],
            highlight: true,
            limit: 1,
            ..words("kangaro")
        };
        let reply = search(node, &acme, &facets, None).await;
        assert_eq!(reply.facets["status"][0].count, RECORDS as u64);
        let title = &reply.items[0].highlights["title"];
        assert!(title.contains("<mark>kangaroo</mark>"), "{title}");
    }
    // What is written is found at once by who asks for that, and by all soon; what is deleted is gone at once.
    let made = create(&acme, "A quokka & its <friends>").await;
    for node in &nodes {
        let reply = search(node, &acme, &words("quokka"), Some(Consistency::Strong)).await;
        assert_eq!(ids(&reply), [made]);
        assert!(reply.indexed > RECORDS as u64 && !reply.building, "{reply:?}");
    }
    let second = create(&acme, "Another quokka").await;
    for node in &nodes {
        until("what was written", async || {
            let found = ids(&search(node, &acme, &words("quokka"), None).await);
            (found.len() == 2 && found.contains(&second)).then_some(())
        })
        .await;
    }
    acme.client.record_delete("acme", "tasks", made, None).await.expect("deleted");
    for node in &nodes {
        assert_eq!(ids(&search(node, &acme, &words("quokka"), None).await), [second]);
    }
    for node in &nodes {
        until("a node whose metrics say that its indexes show everything", async || {
            let metrics = node.metrics().await.expect("metrics");
            let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
            let of = |name: &str| {
                metrics
                    .lines()
                    .filter(|line| line.starts_with(name))
                    .filter_map(value)
                    .sum::<f64>()
            };
            let (documents, asked) = (of("cloudnest_search_documents{"), of("cloudnest_search_questions_total"));
            let is_there = documents > 2.0 * RECORDS as f64 && asked > 0.0;
            (is_there && of("cloudnest_search_seconds_total") > 0.0 && of("cloudnest_search_lag_seconds{") == 0.0).then_some(())
        })
        .await;
    }
    let wrong = nodes[0].search("acme", &words("\"open"), None).await.expect_err("refused");
    assert!(
        wrong.to_string().contains("the quote at character 0 is not closed"),
        "{wrong}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_and_a_moved_tenant_find_what_they_found() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    fill(&acme, "kangaroo").await;
    let nodes = clients(&cluster, &acme);
    let whole = pages(&nodes[0], &acme, "kangaroo", 500).await;
    assert_eq!(whole.len(), RECORDS);
    // A node loses its index, another one its last moments.
    let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    create(&acme, "kangaroo of the last moment").await;
    for name in &names[..2] {
        let pid = cluster.kill(name).expect("killed");
        if *name == names[0] {
            let stores = cluster.data().join(name).join("store");
            for store in std::fs::read_dir(&stores).expect("stores").flatten() {
                let index = store.path().join("search").join("meta.json");
                if index.exists() {
                    std::fs::write(index, "{").expect("damaged");
                }
            }
        }
        cluster.wait_restarted(name, pid, RESTART).expect("started again");
        cluster.wait_ready(name, RESTART).expect("ready");
    }
    for node in &nodes {
        // An index that is built anew may have to go through some of it first.
        until("all of it", async || {
            let found = pages(node, &acme, "kangaroo", 150).await;
            (found.len() == RECORDS + 1).then_some(())
        })
        .await;
    }
    let before = pages(&nodes[0], &acme, "kangaroo", 500).await;
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let to = TenantMove {
        dedicated: true,
        ..TenantMove::default()
    };
    let begun = operator.tenant_move("acme", &to, None).await.expect("a move").body;
    until("the end of the move", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        assert_ne!(now.status, "failed", "{now:?}");
        (now.status == "done").then_some(())
    })
    .await;
    for node in &nodes {
        until("all of it, where it is now", async || {
            (pages(node, &acme, "kangaroo", 150).await == before).then_some(())
        })
        .await;
        let made = create(&acme, "numbat").await;
        let reply = search(node, &acme, &words("numbat"), Some(Consistency::Strong)).await;
        assert!(ids(&reply).contains(&made));
    }
}
