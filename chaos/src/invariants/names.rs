//! What the workload calls its collections and fields: the one place in which it and the checkers agree.

/// Registers, written whole; the record's id is the key.
pub const REGISTERS: &str = "registers";
/// The field of a register that holds its value: text.
pub const REGISTER_VALUE: &str = "value";
/// Lists that batches append to; the record's id is the key.
pub const LISTS: &str = "lists";
/// The field of a list that holds its elements: a JSON array of integers.
pub const LIST_ELEMENTS: &str = "elements";
/// Records that claim a unique name.
pub const CLAIMS: &str = "claims";
/// The field of a claim that is unique: text.
pub const CLAIM_NAME: &str = "name";
/// Records that get the next number of their project.
pub const NUMBERED: &str = "numbered";
/// The field of a numbered record that names its project: a reference.
pub const NUMBERED_PROJECT: &str = "project";
/// The field of a numbered record that is its own: text.
pub const NUMBERED_SERIAL: &str = "serial";
/// The field of a numbered record that the platform counts: a sequence per project.
pub const NUMBERED_NUMBER: &str = "number";
/// Records that are created under an idempotency key.
pub const ONCE: &str = "once";
/// The field of such a record that repeats its idempotency key: text.
pub const ONCE_KEY: &str = "key";
/// The field of such a record that holds its content: text.
pub const ONCE_BODY: &str = "body";
/// Records that are imported.
pub const BULK: &str = "bulk";
/// The field of an imported record that names its import: text.
pub const BULK_IMPORT: &str = "import";
/// The field of an imported record that holds the number of its line, from 0: an integer.
pub const BULK_LINE: &str = "line";
/// Tasks of the `workspace` template.
pub const TASKS: &str = "tasks";
/// The field of a task that starts with its tenant's tag: text.
pub const TASK_TITLE: &str = "title";
/// The field of a task that holds its state.
pub const TASK_STATUS: &str = "status";
/// The states of a task, the first one first.
pub const STATES: [&str; 6] = ["backlog", "todo", "in_progress", "in_review", "done", "cancelled"];
/// Comments of the `workspace` template.
pub const COMMENTS: &str = "comments";
/// The field of a comment that names its task: a reference that cascades.
pub const COMMENT_TASK: &str = "task";
/// Records of a collection whose schema changes.
pub const SHAPED: &str = "shaped";
/// Its field that every write gives another value: text, never changed.
pub const SHAPED_MARK: &str = "mark";
/// Its field that is unique at times: text.
pub const SHAPED_CODE: &str = "code";
/// Its field that is text at times, and at times an integer: an integer in decimal, or what is none.
pub const SHAPED_AMOUNT: &str = "amount";
/// What the amount is where it is no integer.
pub const NO_INTEGER: &str = "many";
/// Its field that has an index at times: an integer below [`GROUPS`].
pub const SHAPED_GROUP: &str = "group";
/// That index.
pub const BY_GROUP: &str = "by_group";
/// How many groups there are.
pub const GROUPS: u64 = 8;
/// The two names of its field that is renamed: text.
pub const SHAPED_LABELS: [&str; 2] = ["label", "title"];
/// Its field that is required at times, with a default: an integer.
pub const SHAPED_LEVEL: &str = "level";
/// The default.
pub const LEVEL: u64 = 5;
/// Records that it has before anything happens, and that nobody changes.
pub const BALLAST: u64 = 2_000;
/// Records of a collection that is dropped and made again.
pub const FLEETING: &str = "fleeting";
/// Its field: text.
pub const FLEETING_MARK: &str = "mark";
/// Notes, which are searched.
pub const NOTES: &str = "notes";
/// The field of a note that is searched: text.
pub const NOTE_TEXT: &str = "text";
/// The field of a note that facets count: a choice.
pub const NOTE_KIND: &str = "kind";
/// The choices.
pub const NOTE_KINDS: [&str; 3] = ["plain", "spare", "rare"];
/// How many words there are that many notes have.
pub const NOTE_GROUPS: u64 = 4;
/// Records with a document that several clients write.
pub const PAGES: &str = "pages";
/// The field of a page that says which it is: text.
pub const PAGE_TITLE: &str = "title";
/// The field of a page that is a document.
pub const PAGE_BODY: &str = "body";
/// What the words of notes end with, so that none is the beginning of another.
const WORD_END: char = 'q';
/// The place of a note's own word in its text.
const WORD_PLACE: usize = 5;

/// A word that only one text has, of a value that nobody else writes. It has digits, so that it is meant as it is.
pub fn word(value: &str) -> String {
    format!("{}{WORD_END}", value.replace('-', "n"))
}

/// A word that many notes of a tenant have.
pub fn group_word(tag: &str, group: u64) -> String {
    format!("{tag}g{group}{WORD_END}")
}

/// Whether a text has a word.
pub fn has_word(text: &str, word: &str) -> bool {
    text.split(' ').any(|known| known == word)
}

/// The word that no other text has, of a note's text.
pub fn own_word(text: &str) -> Option<&str> {
    text.split(' ').nth(WORD_PLACE).filter(|word| word.ends_with(WORD_END))
}

/// The kind of the event of a collection that is gone with its records.
pub const DROPPED: &str = "collection.deleted";

/// The schema that the collection whose schema changes begins with.
pub fn first_schema() -> serde_json::Value {
    serde_json::json!({ "fields": {
        SHAPED_MARK: { "type": "text" },
        SHAPED_CODE: { "type": "text" },
        SHAPED_AMOUNT: { "type": "text" },
        SHAPED_GROUP: { "type": "integer" },
        SHAPED_LABELS[0]: { "type": "text" },
        SHAPED_LEVEL: { "type": "integer" },
    } })
}

/// The fields of a record that is there before anything happens.
pub fn ballast(tag: &str, number: u64) -> serde_json::Map<String, serde_json::Value> {
    let fields = serde_json::json!({
        SHAPED_MARK: format!("{tag}-ballast-{number}"),
        SHAPED_CODE: format!("{tag}-code-{number}"),
        SHAPED_AMOUNT: number.to_string(),
        SHAPED_GROUP: number % GROUPS,
        SHAPED_LABELS[0]: format!("{tag}-label-{number}"),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// The kind of the event of a record that is there now.
pub const CREATED: &str = "record.created";
/// The kind of the event of a record that has changed.
pub const UPDATED: &str = "record.updated";
/// The kind of the event of a record that is gone.
pub const DELETED: &str = "record.deleted";

/// Whether a task may go from one state to another, or stay: the workflow of the `workspace` template, written down once more.
pub fn may_follow(from: &str, to: &str) -> bool {
    let allowed: &[&str] = match to {
        "todo" => &["backlog", "done", "cancelled"],
        "in_progress" => &["backlog", "todo", "in_review", "done"],
        "in_review" => &["in_progress"],
        "done" => &["todo", "in_progress", "in_review"],
        "backlog" => &["todo", "in_progress", "in_review", "done", "cancelled"],
        "cancelled" => &["backlog", "todo", "in_progress", "in_review"],
        _ => &[],
    };
    from == to || allowed.contains(&from)
}
