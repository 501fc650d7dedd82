//! A search, answered: candidates from the index, rows from the store, and what of them may be shown.
//!
//! The first page also says how many there are, and counts facets. Where nothing is hidden and nothing filtered, the index knows how many.
//! Where something is, rows say it: the best [`COUNTED`] candidates are read, as far as [`COUNT_TIME`] reaches, and the reply says whether
//! that was all. Nothing of a record that the asker may not read goes into any figure, any cursor or any order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::body::search::{Relation, SearchItem, SearchQuery, SearchReply, SearchTotal};
use api::error::{Code, Error};
use storage::search::{Found, Language, Question, Rank, SearchError, SearchIndex};
use storage::{Snapshot, Space};
use uuid::Uuid;

use super::cursor;
use super::document::text;
use super::effort::{Effort, Spent};
use super::facets::Facets;
use super::language;
use super::scope::Searched;
use super::snippet::excerpt;
use super::syntax::{Parsed, parse};
use crate::expr::Facts;
use crate::machine::catalog::Catalog;
use crate::records::entries::Place;
use crate::records::guard::Asker;
use crate::records::render;
use crate::records::rest::core_time;
use crate::records::time::now_micros;
use crate::records::value::Record;
use crate::service::error::internal;

/// Most candidates whose rows are read to count them. Raised: counts of frequent words take longer. Lowered: they end sooner.
const COUNTED: usize = 10_000;
/// How long that may take.
const COUNT_TIME: Duration = Duration::from_millis(300);
/// Most candidates whose rows are read in vain for a page.
const PAGE_ROWS: usize = 20_000;
/// How long that may take.
const PAGE_TIME: Duration = Duration::from_millis(300);
/// How many rows are read between two looks at the time.
const TIME_STEP: usize = 256;
/// Candidates that are asked for at a time beyond a page.
const SPARE: usize = 50;
/// A page ends early when its fields are this long, in bytes.
const PAGE_BYTES: usize = 1024 * 1024;

/// Why a search was not answered.
pub(crate) enum Unanswered {
    /// What is asked cannot be.
    Refused(Error),
    /// The index could not say.
    Index(SearchError),
    /// It takes longer than a glance.
    Long,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<SearchError> for Unanswered {
    fn from(error: SearchError) -> Self {
        Self::Index(error)
    }
}

/// What a search is asked of.
pub(crate) struct Search<'a> {
    pub(crate) index: &'a SearchIndex,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) space: Space,
    pub(crate) catalog: &'a Catalog,
    pub(crate) asker: Asker<'a>,
    pub(crate) query: &'a SearchQuery,
    /// Whether the token is for some collections only.
    pub(crate) is_scoped: bool,
    pub(crate) effort: Effort,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) reply: SearchReply,
    /// How long the index took for it.
    pub(crate) in_index: Duration,
}

/// What is asked of the index, and in which language.
struct Asked {
    question: Question,
    language: Language,
    in_index: Duration,
}

impl Asked {
    fn find(&mut self, search: &Search<'_>, after: Option<Rank>, wanted: usize) -> Result<Found, Unanswered> {
        let (start, core) = (Instant::now(), core_time());
        let mut is_over = || search.effort.is_over(core);
        let found = search.index.find(&mut self.question, after, wanted, &mut is_over);
        self.in_index += start.elapsed();
        found.map_err(|error| match error {
            SearchError::TimedOut if search.effort.is_glance() => Unanswered::Long,
            error => error.into(),
        })
    }
}

/// A candidate whose row was read, and may be shown.
struct Seen<'s, 'a> {
    searched: &'s Searched<'a>,
    record: Record,
}

impl<'a> Search<'a> {
    /// Answers. `in_scope`: whether the token may see a collection at all.
    pub(crate) fn answer(&self, in_scope: impl Fn(&str) -> bool) -> Result<Answer, Unanswered> {
        let language = language::of(self.snapshot, self.space).map_err(|fault| internal(&fault))?;
        let parsed = parse(&self.query.q, language)?;
        let searched = self.searched(&in_scope)?;
        let facets = Facets::new(&self.query.facets, searched.values().map(|searched| searched.collection))?;
        let by_rarity = !self.is_scoped && self.shows_all();
        let after = cursor::decode(self.space, self.query, by_rarity)?;
        let Parsed { needed, excluded } = parsed;
        let question = Question {
            space: self.space,
            needed,
            excluded,
            collections: Some(searched.keys().copied().collect()),
            by_rarity,
        };
        let is_plain = facets.is_empty()
            && searched
                .values()
                .all(|searched| searched.sight.is_whole() && searched.filter.is_none());
        let wanted = if after.is_none() && !is_plain {
            COUNTED
        } else {
            self.query.limit + SPARE
        };
        let mut asked = Asked {
            question,
            language,
            in_index: Duration::ZERO,
        };
        let found = asked.find(self, after, wanted)?;
        let (total, facets) = match (after, is_plain) {
            (Some(_), _) => (None, BTreeMap::new()),
            (None, true) => (Some(exactly(found.matches)), BTreeMap::new()),
            (None, false) => {
                let (total, facets) = self.count(&searched, &found, facets)?;
                (Some(total), facets.answer())
            }
        };
        let (items, last) = self.page(&searched, &mut asked, found, wanted)?;
        let reply = SearchReply {
            items,
            next_cursor: last.map(|last| cursor::encode(self.space, self.query, by_rarity, last)),
            total,
            facets,
            indexed: 0,
            building: false,
        };
        Ok(Answer {
            reply,
            in_index: asked.in_index,
        })
    }

    /// The row behind a candidate, if it may be shown.
    fn see<'s>(&self, searched: &'s BTreeMap<u32, Searched<'a>>, rank: &Rank) -> Result<Option<Seen<'s, 'a>>, Unanswered> {
        self.effort.row().map_err(|Spent| Unanswered::Long)?;
        let Some(searched) = searched.get(&rank.collection) else {
            return Ok(None);
        };
        let id = Uuid::from_bytes(rank.id);
        let place = Place {
            space: self.space,
            collection: rank.collection,
            id,
        };
        let Some(record) = place.read(self.snapshot).map_err(|fault| internal(&fault))? else {
            return Ok(None);
        };
        let facts = Facts {
            record: Some((id, &record)),
            now: now_micros(),
            ..Facts::default()
        };
        let kept = searched.sight.shows(id, &record) && searched.filter.as_ref().is_none_or(|filter| filter.holds(&facts));
        Ok(kept.then_some(Seen { searched, record }))
    }

    /// Counts what may be shown of the candidates.
    fn count<'q>(
        &self,
        searched: &BTreeMap<u32, Searched<'a>>,
        found: &Found,
        mut facets: Facets<'q>,
    ) -> Result<(SearchTotal, Facets<'q>), Unanswered> {
        let start = core_time();
        let (mut value, mut is_whole) = (0, found.matches <= found.ranks.len() as u64);
        for (place, rank) in found.ranks.iter().enumerate() {
            if place > 0 && place.is_multiple_of(TIME_STEP) && core_time().saturating_sub(start) > COUNT_TIME {
                is_whole = false;
                break;
            }
            if let Some(seen) = self.see(searched, rank)? {
                facets.count(seen.searched.collection, &seen.record);
                value += 1;
            }
        }
        // That counting ended early says that the words are in many records, and not whether any of the others may be read.
        let relation = if is_whole { Relation::Eq } else { Relation::Gte };
        Ok((SearchTotal { value, relation }, facets))
    }

    /// The records of a page, and the last of them where there may be more.
    fn page(
        &self,
        searched: &BTreeMap<u32, Searched<'a>>,
        asked: &mut Asked,
        mut found: Found,
        mut wanted: usize,
    ) -> Result<(Vec<SearchItem>, Option<Rank>), Unanswered> {
        let start = core_time();
        let (mut items, mut last, mut bytes, mut vain) = (Vec::new(), None, 0, 0_usize);
        loop {
            for rank in &found.ranks {
                let Some(seen) = self.see(searched, rank)? else {
                    vain += 1;
                    let is_spent =
                        vain >= PAGE_ROWS || (vain.is_multiple_of(TIME_STEP) && core_time().saturating_sub(start) > PAGE_TIME);
                    match (is_spent, last) {
                        (false, _) => continue,
                        (true, Some(_)) => return Ok((items, last)),
                        (true, None) => return Err(too_little().into()),
                    }
                };
                if items.len() == self.query.limit || bytes > PAGE_BYTES {
                    return Ok((items, last));
                }
                let item = self.show(&seen, rank, asked)?;
                bytes += item.record.fields.get().len();
                items.push(item);
                last = Some(*rank);
            }
            match found.ranks.last().copied().filter(|_| found.ranks.len() == wanted) {
                None => return Ok((items, None)),
                Some(after) => {
                    wanted = COUNTED;
                    found = asked.find(self, Some(after), wanted)?;
                }
            }
        }
    }

    fn show(&self, seen: &Seen<'_, 'a>, rank: &Rank, asked: &Asked) -> Result<SearchItem, Error> {
        let Searched { collection, shape, .. } = seen.searched;
        let id = Uuid::from_bytes(rank.id);
        let record = render::record(collection, id, &seen.record, None).map_err(|error| internal(&error))?;
        let mut highlights = BTreeMap::new();
        for (number, _) in shape.fields().filter(|_| self.query.highlight) {
            let field = collection.field_numbered(number);
            let text = seen.record.doc.get(number).and_then(text);
            let excerpt = text.and_then(|text| excerpt(&text, &asked.question.needed, asked.language));
            highlights.extend(field.map(|field| field.name.clone()).zip(excerpt));
        }
        Ok(SearchItem { record, highlights })
    }
}

fn exactly(value: u64) -> SearchTotal {
    SearchTotal {
        value,
        relation: Relation::Eq,
    }
}

fn too_little() -> Error {
    let detail = "filter and rules leave too little of what the words find: ask for rarer words, or list with an index";
    Error::new(Code::Timeout, detail)
}
