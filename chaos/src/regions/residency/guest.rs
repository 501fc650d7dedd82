//! A tenant that has a canary in every place in which a tenant can write.

use anyhow::{Context, Result, ensure};
use api::body::control::NewTenant;
use api::client::{Call, Client, Method};
use rig::cluster::Cluster;
use rig::random::Random;
use rig::tenant;
use serde_json::{Value, json};

use super::{BALLAST, NOT_KEPT};
use crate::regions::canary::{self, Canary};

/// See the module.
pub(super) struct Guest {
    /// Its slug: public.
    pub(super) slug: String,
    /// Its region.
    pub(super) region: String,
    /// Whoever owns it.
    pub(super) client: Client,
    /// Their token.
    pub(super) token: String,
    /// The collection.
    pub(super) collection: String,
    /// What is sent to a node of another region.
    pub(super) astray: String,
}

/// Draws canaries of one region.
pub(super) struct Pen<'a> {
    /// The region.
    pub(super) region: &'a str,
    /// What they are drawn from.
    pub(super) random: &'a mut Random,
    /// All so far.
    pub(super) canaries: &'a mut Vec<Canary>,
}

impl Pen<'_> {
    fn word(&mut self, what: &'static str) -> String {
        let text = canary::text(self.random);
        self.canaries.push(Canary::of_text(self.region, what, &text));
        text
    }

    fn integer(&mut self, what: &'static str) -> i64 {
        let number = self.digits();
        self.canaries.push(Canary::of_integer(self.region, what, number));
        number
    }

    fn number(&mut self, what: &'static str) -> f64 {
        let number = self.digits() as f64 / 16.0;
        self.canaries.push(Canary::of_number(self.region, what, number));
        number
    }

    /// Fifteen of them: more are not a number of JSON everywhere.
    fn digits(&mut self) -> i64 {
        let drawn = 100_000_000_000_000 + self.random.below(800_000_000_000_000);
        i64::try_from(drawn).unwrap_or(i64::MAX)
    }
}

impl Guest {
    /// Makes the tenant, and writes into it.
    pub(super) async fn settle(cluster: &Cluster, mut pen: Pen<'_>) -> Result<Self> {
        let region = pen.region.to_owned();
        let nodes = cluster.nodes().iter().filter(|node| node.region == region);
        let nodes: Vec<_> = nodes.map(|node| node.api).collect();
        let operator = tenant::client(&nodes, cluster.operator_token())?;
        let slug = format!("guest-{region}");
        let new = NewTenant {
            slug: slug.parse()?,
            name: Some(pen.word("display name")),
            region: region.clone(),
            plan: None,
            dedicated: false,
            template: None,
        };
        let key = pen.word(NOT_KEPT[0]);
        let made = operator.tenant_create(&new, Some(&key)).await.context("make a tenant")?.body;
        let token = made.admin_token.context("a tenant came without its token")?;
        let guest = Self {
            slug,
            region,
            client: operator.with_token(&token)?,
            token,
            collection: pen.word("name of a collection"),
            astray: pen.word(NOT_KEPT[3]),
        };
        guest.write(&mut pen).await?;
        Ok(guest)
    }

    async fn write(&self, pen: &mut Pen<'_>) -> Result<()> {
        let [text, user, option] = ["name of a text field", "name of a user field", "an option"].map(|what| pen.word(what));
        let schema = json!({
            "fields": {
                &text: { "type": "text" }, &user: { "type": "user" }, "whole": { "type": "integer" }, "real": { "type": "number" },
                "choice": { "type": "select", "options": [&option, "plain"] }, "labels": { "type": "tags" }, "any": { "type": "json" },
                "choices": { "type": "multi_select", "options": [&option, "plain"] }, "plain": { "type": "text" },
            },
            "indexes": { "by": { "fields": [&text] }, "by_whole": { "fields": ["whole"] }, "by_real": { "fields": ["real"] } },
        });
        let collection = format!("collections/{}", self.collection);
        self.send(Method::PUT, &collection, None, &schema).await?;
        let fields = json!({ "fields": {
            &text: pen.word("a text with an index"), "plain": pen.word("a text"), &user: pen.word("a user"),
            "whole": pen.integer("an integer"), "real": pen.number("a number"), "choice": &option, "choices": [&option],
            "labels": [pen.word("a tag")], "any": { pen.word("a key of JSON"): [pen.word("a text in JSON")] },
        } });
        let records = format!("records/{}", self.collection);
        let key = pen.word(NOT_KEPT[1]);
        let made = self.send(Method::POST, &records, Some(&key), &fields).await?;
        let record = format!("{records}/{}", made["id"].as_str().context("a record has an id")?);
        let change = json!({ "fields": { "plain": pen.word("a change") } });
        self.send(Method::PATCH, &record, None, &change).await?;
        let operation = json!({ "op": "create", "collection": self.collection, "fields": { "plain": pen.word("a batch") } });
        self.send(Method::POST, "batch", None, &json!({ "operations": [operation] }))
            .await?;
        let token = json!({ "name": pen.word("a token's name"), "role": "member" });
        self.send(Method::POST, "tokens", None, &token).await?;
        let ballast = (0..BALLAST).map(|number| format!("ballast {number}"));
        let texts = std::iter::once(pen.word("an import")).chain(ballast);
        let lines: String = texts.map(|text| format!("{}\n", json!({ "plain": text }))).collect();
        let call = Call::new(Method::POST, self.path(&format!("{records}/import"))).body("application/x-ndjson", lines);
        self.client.call(call).await.context("import")?;
        // What a client asks for is the tenant's as well.
        let asked = format!("{records}?{text}={}", pen.word(NOT_KEPT[2]));
        self.send(Method::GET, &asked, None, &Value::Null).await.map(drop)
    }

    /// Stores one more text, whoever is down.
    pub(super) async fn note(&self, pen: &mut Pen<'_>, what: &'static str) -> Result<()> {
        let fields = json!({ "fields": { "plain": pen.word(what) } });
        let records = format!("records/{}", self.collection);
        // Sent again until it is answered, under a key that says nothing.
        let key = what.replace(' ', "-");
        self.send(Method::POST, &records, Some(&key), &fields).await.map(drop)
    }

    /// A path of the tenant.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/{rest}", self.slug)
    }

    async fn send(&self, method: Method, rest: &str, key: Option<&str>, body: &Value) -> Result<Value> {
        let media = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let mut call = Call::new(method, self.path(rest));
        if !body.is_null() {
            call = call.body(media, body.to_string());
        }
        if let Some(key) = key {
            call = call.header("idempotency-key", key);
        }
        let answer = self.client.call(call).await.with_context(|| format!("ask for {rest}"))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status.is_success(), "{rest}: {} {text}", answer.status);
        serde_json::from_str(&text).with_context(|| format!("read the answer to {rest}"))
    }
}
