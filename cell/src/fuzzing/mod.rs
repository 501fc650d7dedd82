//! What the fuzz targets of `fuzz/` call: each function takes bytes, does with them what the platform would, and panics where that
//! breaks a promise. It is here because what it calls is private. Compiled for tests, and for who asks for the feature `fuzzing`.
//!
//! | function | what holds |
//! |---|---|
//! | [`commands`] | whatever commands the log holds, applying them never panics or faults, and two stores that apply the same bytes hold the same bytes, however they were batched; what is counted of records is what there is |
//! | [`moving`] | whatever commands a space takes, a copy that is taken at any point and repeats the rest holds the same bytes |
//! | [`archive`] | bytes that are no archive are refused, whatever their checksums; chunks are as large as a command takes |
//! | [`archived`] | a space that is made of the archive of another has the same archive, and holds the same bytes once no schema is changed |
//! | [`entry`] | bytes that are no command are refused; what decodes encodes to something that decodes to the same |
//! | [`rows`] | bytes that are no row are refused by every type of row |
//! | [`expression`] | what compiles is evaluated without a panic, and within its time where somebody measures |
//! | [`list`] | whatever order, filter, cursor and equalities are asked for, no page is a defect and no record comes twice |
//! | [`line`] | a line of an import is refused or becomes a document that the store takes |
//! | [`schema`] | a schema is refused or becomes a collection that reads back as it was sent |
//! | [`search`] | a question is refused or has a word to look for; an excerpt is a part of the text, escaped, with marks that close |
//! | [`config`] | every text is a configuration or a list of what is wrong with it, with lines that are there |

mod archive;
mod commands;
mod dream;
pub mod expression;
mod moving;
mod requests;
mod rows;
mod search;
#[cfg(test)]
mod tests;

pub use archive::{archive, archived};
pub use commands::{commands, entry};
pub use expression::expression;
pub use moving::moving;
pub use requests::{config, line, list, schema};
pub use rows::rows;
pub use search::search;
