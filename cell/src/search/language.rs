//! The language of a tenant's texts.

use storage::search::Language;

/// What a tenant writes in that has not said it.
pub(super) const USUAL: &str = "en";

/// The language of a tenant that has not said which.
pub(super) fn usual() -> Language {
    Language::of(USUAL).unwrap_or_default()
}
