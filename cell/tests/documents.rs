//! Documents over HTTP on real nodes: two who write at two nodes agree, whatever happens to the leader between them.

use std::time::Duration;

use api::body::collection::CollectionSchema;
use api::body::record::NewRecord;
use api::client::{Client, DocumentConnection};
use api::ids::Id;
use api::service::Consistency;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::until;
use serde_json::json;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, TextRef, Transact, Update};

/// How long a node that was killed may take to be there again.
const RESTART: Duration = Duration::from_secs(60);

/// One who writes: a document, and a connection that comes back at the next node.
struct Writer {
    clients: Vec<Client>,
    turn: usize,
    page: Id,
    doc: Doc,
    text: TextRef,
    connection: Option<DocumentConnection>,
}

fn message(kind: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = kind.to_vec();
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// The bytes behind two numbers and a length.
fn body(message: &[u8]) -> &[u8] {
    let end = 2 + message[2..].iter().position(|byte| byte & 0x80 == 0).expect("a length");
    &message[end + 1..]
}

impl Writer {
    fn new(clients: &[Client], turn: usize, page: Id, number: u64) -> Self {
        let doc = Doc::with_client_id(number);
        let text = doc.get_or_insert_text("content");
        Self {
            clients: clients.to_vec(),
            turn,
            page,
            doc,
            text,
            connection: None,
        }
    }

    fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    fn apply(&self, update: &[u8]) {
        let update = Update::decode_v1(update).expect("an update");
        self.doc.transact_mut().apply_update(update).expect("applied");
    }

    /// Writes a word, and sends it where there is a connection.
    async fn write(&mut self, word: &str) {
        let update = {
            let mut transaction = self.doc.transact_mut();
            let end = self.text.len(&transaction);
            self.text.insert(&mut transaction, end, word);
            transaction.encode_update_v1()
        };
        if let Some(connection) = &mut self.connection
            && connection.send(message(&[0, 2], &update)).await.is_err()
        {
            self.connection = None;
        }
    }

    /// Takes what comes for a moment; comes back where the connection has ended.
    async fn listen(&mut self) {
        let Some(connection) = &mut self.connection else {
            self.turn += 1;
            let client = &self.clients[self.turn % self.clients.len()];
            let Ok(mut connection) = client.document("acme", "pages", self.page, "body").await else {
                return;
            };
            let has = self.doc.transact().state_vector().encode_v1();
            if connection.send(message(&[0, 0], &has)).await.is_ok() {
                self.connection = Some(connection);
            }
            return;
        };
        match tokio::time::timeout(Duration::from_millis(20), connection.next()).await {
            Err(_) => {}
            Ok(Ok(Some(said))) if said[..2] == [0, 0] => {
                let has = StateVector::decode_v1(body(&said)).expect("a vector");
                let lacks = self.doc.transact().encode_state_as_update_v1(&has);
                if connection.send(message(&[0, 1], &lacks)).await.is_err() {
                    self.connection = None;
                }
            }
            Ok(Ok(Some(said))) if said[0] == 0 => {
                let update = body(&said).to_vec();
                self.apply(&update);
            }
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None) | Err(_)) => self.connection = None,
        }
    }
}

async fn page(tenant: &Tenant) -> Id {
    let schema =
        json!({ "fields": { "title": { "type": "text" }, "body": { "type": "document" } }, "search": ["title", "body"] });
    let schema: CollectionSchema = serde_json::from_value(schema).expect("a schema");
    tenant
        .client
        .collection_put("acme", "pages", &schema, None)
        .await
        .expect("a collection");
    let new: NewRecord = serde_json::from_value(json!({ "fields": { "title": "a page" } })).expect("a record");
    tenant
        .client
        .record_create("acme", "pages", &new, None)
        .await
        .expect("stored")
        .body
        .id
}

async fn shown(client: &Client, page: Id) -> Option<(String, u64)> {
    let record = client.record("acme", "pages", page, Consistency::Strong).await.ok()?.body;
    let fields: serde_json::Value = serde_json::from_str(record.fields.get()).expect("JSON");
    Some((fields["body"].as_str().unwrap_or_default().to_owned(), record.version))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_write_at_two_nodes_agree_over_the_loss_of_the_leader() {
    let layout = Layout::one_region(3).expect("a layout");
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let page = page(&acme).await;
    let addresses = cluster.addresses().into_iter();
    let clients: Vec<_> = addresses
        .map(|address| tenant::client_of(address, &acme.token).expect("a client"))
        .collect();
    let mut ann = Writer::new(&clients, 0, page, 101);
    let mut bob = Writer::new(&clients, 1, page, 102);
    // More than what is kept as single updates.
    for word in 0..60 {
        for writer in [&mut ann, &mut bob] {
            // From here on it is a large one, which is worked on elsewhere.
            let padding = "x".repeat(if word == 20 { 20_000 } else { 0 });
            writer.write(&format!("{word}{padding} ")).await;
            writer.listen().await;
        }
        if word == 30 {
            let leader = until("a leader", async || {
                let cells = operator.cells().await.ok()?;
                cells.into_iter().find(|cell| cell.kind == "shared")?.leader
            })
            .await;
            let pid = cluster.kill(&leader).expect("killed");
            cluster.wait_restarted(&leader, pid, RESTART).expect("started again");
        }
    }
    let words = until("both have all of it", async || {
        ann.listen().await;
        bob.listen().await;
        let (one, other) = (ann.text(), bob.text());
        (one == other && one.split_whitespace().count() == 120).then_some(one)
    })
    .await;
    for client in &clients {
        until("the record shows it", async || {
            (shown(client, page).await?.0 == words).then_some(())
        })
        .await;
    }
    // Whoever comes later gets all of it, of which most is one update by now.
    let mut later = Writer::new(&clients, 2, page, 103);
    until("it has all of it", async || {
        later.listen().await;
        (later.text() == words).then_some(())
    })
    .await;
}
