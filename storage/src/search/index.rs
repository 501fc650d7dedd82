//! An index on the disk: opened or made anew, written by one, read by many.
//!
//! Who writes has a writer for as long as there is something to write; with it come threads of the engine, which have the priority of the
//! thread that opened it. A writer that is dropped takes back what it has not committed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TERMINATED};

use super::files::Files;
use super::question::Question;
use super::rank::{Found, Rank, Search};
use super::shape::{self, Fields, HIGH, LOW, SHAPE, VERSION};
use super::view::View;
use super::{Indexed, SearchError, SpaceMark};
use crate::space::Space;

/// Memory for documents that are not committed yet, in bytes; what does not fit is written before its commit. The engine's least.
const WRITER_BYTES: usize = 15_000_000;
/// Segments of more documents are not put together any more.
const MERGED_DOCUMENTS: usize = 2_000_000;
/// So many segments of about one size are put together. Raised: questions look into more of them. Lowered: documents are written more often.
const MERGED_SEGMENTS: usize = 6;
/// A segment of which this part is deleted is written anew.
const DELETED_SHARE: f32 = 0.3;

/// An index, for who reads it. Clones share it.
#[derive(Clone)]
pub struct SearchIndex {
    directory: PathBuf,
    index: Index,
    reader: IndexReader,
    /// What the last commit made visible.
    view: Arc<ArcSwap<View>>,
    fields: Fields,
}

impl SearchIndex {
    /// Opens the index of a directory. What is missing, cannot be opened, or is of another version is made anew, empty: the second value
    /// says why. Whether all of it is whole is for [`SearchIndex::check`] to say.
    pub fn open(directory: &Path) -> Result<(SearchIndex, Option<String>), SearchError> {
        match SearchIndex::open_as_it_is(directory) {
            Ok(index) => Ok((index, None)),
            Err(why) => Ok((SearchIndex::create(directory)?, Some(why.to_string()))),
        }
    }

    /// Makes the index of a directory anew, empty.
    pub fn create(directory: &Path) -> Result<SearchIndex, SearchError> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(directory)?,
        }
        let (schema, fields) = shape::schema();
        SearchIndex::over(
            directory,
            Index::create(Files::open(directory)?, schema, IndexSettings::default())?,
            fields,
        )
    }

    fn open_as_it_is(directory: &Path) -> Result<SearchIndex, SearchError> {
        if !directory.is_dir() {
            return Err(SearchError::Unusable("there is none".to_owned()));
        }
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let (schema, fields) = shape::schema();
            let index = Index::open(Files::open(directory)?)?;
            if index.schema() != schema {
                return Err(SearchError::Unusable("it has other fields".to_owned()));
            }
            let payload = index.load_metas()?.payload;
            match payload.as_deref().map(read_payload) {
                None => {}
                Some(Some((VERSION, _))) => {}
                Some(_) => return Err(SearchError::Unusable("it is of another version".to_owned())),
            }
            SearchIndex::over(directory, index, fields)
        }));
        opened.unwrap_or_else(|_| Err(panicked()))
    }

    fn over(directory: &Path, index: Index, fields: Fields) -> Result<SearchIndex, SearchError> {
        shape::prepare(&index);
        let reader: IndexReader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(SearchIndex {
            directory: directory.to_owned(),
            view: Arc::new(ArcSwap::from_pointee(View::of(reader.searcher(), None))),
            reader,
            index,
            fields,
        })
    }

    /// Reads all of it, and fails with what is damaged. Takes as long as the disk does; it can be searched meanwhile.
    pub fn check(&self) -> Result<(), SearchError> {
        let checked = catch_unwind(AssertUnwindSafe(|| self.index.validate_checksum()));
        match checked.map_err(|_| panicked())??.into_iter().next() {
            Some(file) => Err(SearchError::Unusable(format!("{} is damaged", file.display()))),
            None => Ok(()),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The log position that the last commit covers; 0 before the first.
    pub fn covered(&self) -> Result<u64, SearchError> {
        let payload = self.index.load_metas()?.payload;
        Ok(payload.as_deref().and_then(read_payload).map_or(0, |(_, covered)| covered))
    }

    /// How far a space is indexed; none: not at all.
    pub fn mark(&self, space: Space) -> Result<Option<SpaceMark>, SearchError> {
        let view = self.view.load_full();
        let term = self.fields.of_mark(space);
        let mut mark = None;
        for segment in view.searcher().segment_readers() {
            let index = segment.inverted_index(self.fields.of)?;
            let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            let columns = segment.fast_fields();
            let column = |name| columns.column_first_or_default::<u64>(name);
            let (positions, stamps, shapes) = (column(HIGH)?, column(LOW)?, column(SHAPE)?);
            while postings.doc() != TERMINATED {
                let document = postings.doc();
                if !segment.is_deleted(document) {
                    mark = Some(SpaceMark {
                        position: positions.get_val(document),
                        stamp: stamps.get_val(document),
                        shape: shapes.get_val(document),
                    });
                }
                postings.advance();
            }
        }
        Ok(mark)
    }

    /// The best records of a question that come after `after`, at most `limit`. The question's patterns forget what turned out not to be meant: words
    /// near one that many texts have. So they say afterwards what was looked for. `is_over` is asked every few thousand places whether that takes
    /// too long; it may rest before it answers.
    pub fn find(
        &self,
        question: &mut Question,
        after: Option<Rank>,
        limit: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<Found, SearchError> {
        if question.needed.is_empty() || limit == 0 {
            return Ok(Found::default());
        }
        let view = self.view.load_full();
        // What lies on a disk can make the engine panic, whatever was looked at before.
        catch_unwind(AssertUnwindSafe(|| {
            Search::new(&view, &self.fields, question, is_over).run(after, limit)
        }))
        .unwrap_or_else(|_| Err(panicked()))
    }

    /// Documents, marks among them, and segments.
    pub fn size(&self) -> (u64, usize) {
        let view = self.view.load();
        let searcher = view.searcher();
        (searcher.num_docs(), searcher.segment_readers().len())
    }

    /// Begins to write. Fails while somebody else has a writer of this directory. The calling thread's priority is that of the work.
    pub fn writer(&self) -> Result<SearchWriter, SearchError> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(WRITER_BYTES)
            .build();
        let writer: IndexWriter = self.index.writer_with_options(options)?;
        let mut merging = LogMergePolicy::default();
        merging.set_min_num_segments(MERGED_SEGMENTS);
        merging.set_max_docs_before_merge(MERGED_DOCUMENTS);
        merging.set_del_docs_ratio_before_merge(DELETED_SHARE);
        writer.set_merge_policy(Box::new(merging));
        Ok(SearchWriter {
            index: self.clone(),
            writer,
        })
    }
}

/// Who writes an index.
pub struct SearchWriter {
    index: SearchIndex,
    writer: IndexWriter,
}

impl SearchWriter {
    /// Adds a record, which is not in the index.
    pub fn add(&self, record: &Indexed<'_>) -> Result<(), SearchError> {
        self.writer.add_document(self.index.fields.document(record))?;
        Ok(())
    }

    /// Puts a record in the place of what the index has of it.
    pub fn put(&self, record: &Indexed<'_>) -> Result<(), SearchError> {
        self.remove(record.space, record.collection, record.id);
        self.add(record)
    }

    /// Takes a record out.
    pub fn remove(&self, space: Space, collection: u32, id: [u8; 16]) {
        self.writer.delete_term(self.index.fields.of_record(space, collection, id));
    }

    /// Takes all records of a collection out.
    pub fn remove_collection(&self, space: Space, collection: u32) {
        self.writer.delete_term(self.index.fields.of_collection(space, collection));
    }

    /// Takes a space out, its mark included.
    pub fn remove_space(&self, space: Space) {
        self.writer.delete_term(self.index.fields.of_space(space));
        self.writer.delete_term(self.index.fields.of_mark(space));
    }

    /// Says how far a space is indexed, once this is committed.
    pub fn mark(&self, space: Space, mark: &SpaceMark) -> Result<(), SearchError> {
        self.writer.delete_term(self.index.fields.of_mark(space));
        self.writer.add_document(self.index.fields.mark(space, mark))?;
        Ok(())
    }

    /// Makes everything so far durable, and visible to who asks from now on. `covered`: the log position that it covers.
    pub fn commit(&mut self, covered: u64) -> Result<(), SearchError> {
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&write_payload(covered));
        prepared.commit()?;
        let SearchIndex { reader, view, .. } = &self.index;
        reader.reload()?;
        let next = View::of(reader.searcher(), Some(&view.load()));
        view.store(Arc::new(next));
        Ok(())
    }

    /// Waits for what the engine still does in the background, and stops.
    pub fn close(self) -> Result<(), SearchError> {
        self.writer.wait_merging_threads()?;
        Ok(())
    }
}

fn panicked() -> SearchError {
    SearchError::Unusable("it made the engine panic".to_owned())
}

fn write_payload(covered: u64) -> String {
    format!("{VERSION} {covered}")
}

/// The version and the covered position of a payload; none: it is of something else.
fn read_payload(payload: &str) -> Option<(u32, u64)> {
    let (version, covered) = payload.split_once(' ')?;
    Some((version.parse().ok()?, covered.parse().ok()?))
}
