//! What the routes of files take and answer.

use serde_json::{Value, json};

use super::operation::{Body, Described, JSON, answer, body, json_answer, text};
use super::parameters::{self, Parameter, header, query, required};
use super::records::{gone, unchanged};
use crate::limits;
use crate::routes::table::Endpoint;

/// Bytes of any kind.
const ANY: &str = "application/octet-stream";
/// What an upload's bytes come as.
const OCTETS: &str = "application/offset+octet-stream";

/// Describes a route of files; none: it is another.
pub(super) fn describe(endpoint: Endpoint) -> Option<Described> {
    use Endpoint as E;
    let changed = |description| vec![json_answer(200, description, "File")];
    Some(match endpoint {
        E::Files => {
            let mut parameters = parameters::paging();
            parameters.extend(attached_to());
            (parameters, None, vec![json_answer(200, "One page.", "FilePage")], vec![])
        }
        E::FileCreate => {
            let name = json!({ "type": "string", "minLength": 1, "maxLength": limits::FILE_NAME_BYTES });
            let mut parameters = vec![required(query(
                "name",
                name,
                "What the file is called: 1 to 255 bytes, and no path.",
            ))];
            parameters.extend(attached_to());
            let made = json_answer(201, "Created.", "File");
            (parameters, Some(text(ANY)), vec![made], vec!["ETag", "Location"])
        }
        E::File => {
            let found = json_answer(200, "The file.", "File");
            (
                vec![parameters::if_none_match()],
                None,
                vec![found, unchanged()],
                vec!["ETag"],
            )
        }
        E::FilePatch => {
            let parameters = vec![parameters::if_match()];
            (parameters, Some(body(JSON, "FilePatch")), changed("Changed."), vec!["ETag"])
        }
        E::FileDelete => (vec![parameters::if_match()], None, gone(), vec![]),
        E::FileContent => content(),
        E::FilePut => {
            let parameters = vec![tag("If-Match", "The content that the file must have; else 412.")];
            (parameters, Some(text(ANY)), changed("It has a new version."), vec!["ETag"])
        }
        E::FileVersions => {
            let page = json_answer(200, "One page.", "FileVersionPage");
            (parameters::paging(), None, vec![page], vec![])
        }
        E::FileRestore => (vec![], None, changed("Its newest version is like that one."), vec!["ETag"]),
        E::FileVersionDelete | E::LinksRevoke => (vec![], None, gone(), vec![]),
        E::LinkCreate => {
            let made = json_answer(201, "The link.", "Link");
            (vec![], Some(body(JSON, "NewLink")), vec![made], vec![])
        }
        _ => return upload(endpoint),
    })
}

fn upload(endpoint: Endpoint) -> Option<Described> {
    use Endpoint as E;
    let number = |most: u64| json!({ "type": "integer", "minimum": 0, "maximum": most });
    let told = vec!["Tus-Resumable", "Upload-Offset", "Upload-Expires"];
    Some(match endpoint {
        E::UploadCreate => {
            let metadata = json!({ "type": "string", "maxLength": limits::UPLOAD_METADATA_BYTES });
            let parameters = vec![
                resumable(),
                required(header(
                    "Upload-Length",
                    number(limits::FILE_BYTES),
                    "How long it is as a whole, in bytes.",
                )),
                header(
                    "Upload-Metadata",
                    metadata,
                    "Pairs of a key and base64: `filename`, `filetype`, `collection` and `record` to attach it to, or `file` whose version it becomes.",
                ),
                checksum(),
            ];
            let begun = answer(201, "It has begun.", vec![]);
            let headers = [&told[..], &["Location"]].concat();
            (parameters, Some(text(OCTETS)), vec![begun], headers)
        }
        E::UploadWrite => {
            let parameters = vec![
                resumable(),
                required(header(
                    "Upload-Offset",
                    number(limits::FILE_BYTES),
                    "Where it goes on: what it has answered.",
                )),
                checksum(),
            ];
            (
                parameters,
                Some(text(OCTETS)),
                vec![answer(204, "It is that far.", vec![])],
                told,
            )
        }
        E::UploadDelete => (vec![resumable()], None, gone(), vec!["Tus-Resumable"]),
        E::Upload => {
            let found = json_answer(200, "How far it is.", "Upload");
            let headers = [&told[..], &["Upload-Length", "Upload-Metadata"]].concat();
            (vec![], None, vec![found], headers)
        }
        _ => return None,
    })
}

fn content() -> Described {
    let anything = || {
        Vec::from([Body {
            media_type: "*/*",
            schema: None,
        }])
    };
    let text_schema = || json!({ "type": "string" });
    let number = json!({ "type": "integer", "minimum": 1 });
    let parameters = vec![
        query("version", number, "The version; the current one where it is left out."),
        query(
            "inline",
            json!({ "type": "boolean", "default": false }),
            "Whether a browser may show it. Only pictures, sounds, films and plain text are.",
        ),
        query("expires", text_schema(), "Of a link: until when it may be used."),
        query("signature", text_schema(), "Of a link: it stands for a token."),
        header(
            "Range",
            text_schema(),
            "One range of bytes; several are answered with all of it.",
        ),
        header("If-Range", text_schema(), "The part only of this content; else all of it."),
        tag("If-Match", "The content that it must be; else 412."),
        parameters::if_none_match(),
    ];
    let replies = vec![
        answer(200, "All of it.", anything()),
        answer(206, "The part that was asked for.", anything()),
        unchanged(),
    ];
    (
        parameters,
        None,
        replies,
        vec!["ETag", "Content-Disposition", "Content-Range", "Repr-Digest"],
    )
}

/// An entity tag of a content.
fn tag(name: &'static str, description: &'static str) -> Parameter {
    header(
        name,
        json!({ "type": "string", "pattern": "^\"[0-9a-f]{64}\"$" }),
        description,
    )
}

fn resumable() -> Parameter {
    let version = json!({ "type": "string", "enum": ["1.0.0"] });
    required(header("Tus-Resumable", version, "The version of the protocol."))
}

fn checksum() -> Parameter {
    let pattern: Value = json!({ "type": "string", "pattern": "^(sha1 [A-Za-z0-9+/]{27}=|sha256 [A-Za-z0-9+/]{43}=)$" });
    header(
        "Upload-Checksum",
        pattern,
        "The hash of the body: all of it is taken, or, with 460, nothing.",
    )
}

fn attached_to() -> [Parameter; 2] {
    [
        query(
            "collection",
            json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$" }),
            "The collection of the record that it is attached to. Goes with `record`.",
        ),
        query(
            "record",
            json!({ "type": "string", "format": "uuid" }),
            "The record that it is attached to.",
        ),
    ]
}
