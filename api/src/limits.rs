//! Every limit that the public meets, in one place, with its unit in the name.

/// Largest JSON body of a request, in bytes. Raised: a slow client holds more memory. Lowered: large batches are refused.
pub const BODY_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a JSON body.
pub const JSON_DEPTH: usize = 32;
/// Most operations of one batch.
pub const BATCH_OPERATIONS: usize = 1_000;
/// Records of a list, when the request names no limit.
pub const LIST_DEFAULT: usize = 50;
/// Most records of one page of a list.
pub const LIST_MAX: usize = 500;
/// How much more is read of a streamed body that was refused before its end, in bytes. Raised: clients that send more at once hear why.
pub const HEARD_OUT_BYTES: usize = 8 * 1024 * 1024;
/// For how long, in seconds.
pub const HEARD_OUT_SECONDS: u64 = 2;
/// Longest line of an import, in bytes.
pub const IMPORT_LINE_BYTES: usize = 256 * 1024;
/// Longest content of a file, in bytes. Raised: one command touches more keys. Lowered: large files are refused.
pub const FILE_BYTES: u64 = 4 << 30;
/// Longest content that comes as the body of one request, in bytes: what is longer takes an upload that can go on.
pub const UPLOAD_BYTES: u64 = 64 << 20;
/// Longest name of a file, in bytes: what file systems take.
pub const FILE_NAME_BYTES: usize = 255;
/// Longest media type of a file, in bytes.
pub const MEDIA_TYPE_BYTES: usize = 255;
/// Longest `Upload-Metadata`, in bytes.
pub const UPLOAD_METADATA_BYTES: usize = 4 * 1024;
/// Longest time for which a link to a file can be used, in seconds.
pub const LINK_SECONDS: u64 = 30 * 24 * 3_600;
/// Longest cursor of a list, in bytes: base64 of a key of an index, which may hold four texts of 1,024 bytes whose zero bytes
/// are escaped to two. Lowered: a list over such an index cannot be continued.
pub const CURSOR_BYTES: usize = 12 * 1024;
/// Most references that a read follows.
pub const EXPAND_FIELDS: usize = 5;
/// Longest filter of a list, in bytes.
pub const FILTER_BYTES: usize = 4 * 1024;
/// Longest question of a search, in bytes.
pub const SEARCH_BYTES: usize = 2 * 1024;
/// Most collections, or facets, that a search names.
pub const SEARCH_LIST: usize = 50;
/// Largest request head, in bytes: the longest cursor, four texts that values are compared with, percent-encoded to three bytes
/// a byte, and the usual headers. Raised: a slow client holds more memory. Lowered: lists over long values are refused.
pub const HEAD_BYTES: usize = 32 * 1024;
/// Most headers of a request.
pub const HEADERS: usize = 64;
/// Longest time for a request's head to arrive, in seconds.
pub const HEAD_SECONDS: u64 = 10;
/// Longest time for a JSON body to arrive, in seconds.
pub const BODY_SECONDS: u64 = 20;
/// Longest pause inside a streamed body, and longest time for which a client takes nothing of what it is sent, in seconds.
pub const STREAM_IDLE_SECONDS: u64 = 30;
/// How long a follower of events hears nothing before it gets a sign of life, in seconds.
pub const SIGN_OF_LIFE_SECONDS: u64 = 15;
/// Longest time that a request without a stream may take, in seconds.
pub const REQUEST_SECONDS: u64 = 10;
/// Smallest reply that is compressed, in bytes: what fits into one packet gains nothing.
pub const COMPRESS_BYTES: u64 = 1024;
/// Largest reply that is compressed at once, in bytes, so that its length can be said. Raised: others wait while it is compressed.
pub const COMPRESS_WHOLE_BYTES: usize = 64 * 1024;
/// How many times its size a compressed stream may grow to. Raised: a small import can make a node read more. Lowered: what people
/// import and repeats itself a lot is refused.
pub const INFLATE_RATIO: u64 = 200;
/// What a compressed stream may grow to whatever its size, in bytes.
pub const INFLATE_FREE_BYTES: u64 = 8 * 1024 * 1024;
/// Most origins whose pages may use a tenant's API.
pub const CORS_ORIGINS: usize = 50;
/// Longest such origin, in bytes.
pub const CORS_ORIGIN_BYTES: usize = 255;
/// Longest time for a TLS handshake, in seconds. Connections in it count among all, so that silent ones cannot keep out others
/// than they would without TLS.
pub const HANDSHAKE_SECONDS: u64 = 5;
/// Most requests of one HTTP/2 connection at a time. Raised: one connection can ask for more work. Lowered: browsers that load much
/// at once wait.
pub const STREAMS: u32 = 100;
/// Most requests of one HTTP/2 connection that its client takes back before they are answered, beyond as many as it lets end. Raised:
/// a client has more work done for nothing. Lowered: pages that are left while they load lose their connection.
pub const RESET_STREAMS: u64 = 100;
/// Most streams that a client resets before they are even looked at.
pub const PENDING_RESET_STREAMS: usize = 20;
/// Most streams of one HTTP/2 connection that the server resets because of the client's mistakes.
pub const ERROR_RESET_STREAMS: usize = 64;
/// Largest frame of HTTP/2, and the piece in which replies wait for their client, in bytes: the smallest that a client may ask for.
pub const FRAME_BYTES: usize = 16 * 1024;
/// What may arrive of a body over HTTP/2 before it is read, in bytes, a stream. Raised: more memory for bodies that nobody has asked for
/// yet. Lowered: imports over a long way are slower.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for all streams of a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
/// Most bytes of a reply that are kept in front of a slow connection over HTTP/2, a stream.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long an HTTP/2 connection hears nothing before its client is asked for a sign of life, and how long that may take, in seconds.
pub const PING_SECONDS: u64 = 20;
/// How long an HTTP/2 connection that was told to go may stay without a request, in seconds.
pub const GOODBYE_SECONDS: u64 = 5;
/// Most open connections of a node, and most requests of all its HTTP/2 connections at a time: ten thousand streams and as many as half of that besides.
pub const CONNECTIONS: usize = 15_000;
/// Longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// Longest name of an import, in characters.
pub const IMPORT_ID_CHARS: usize = 100;
/// Largest body that ingress keeps so that it can send a request again, in bytes.
pub const REPLAY_BYTES: usize = BODY_BYTES;
/// Most bytes of request bodies that a node keeps before their senders have passed a gate: those that it sends on to another
/// node, whose gate it is. Raised: whoever has no token at all can make a node hold more memory. Lowered: fewer large writes
/// can be on their way to other nodes at a time.
pub const KEPT_BODIES_BYTES: usize = 256 * 1024 * 1024;
/// How long such a body waits for room, in milliseconds.
pub const KEPT_BODIES_WAIT_MILLIS: u64 = 1_000;
/// How long a request waits for a leader, in milliseconds.
pub const LEADER_WAIT_MILLIS: u64 = 2_000;
/// Most requests of a node that wait for a leader at a time.
pub const LEADER_WAITERS: usize = 4_096;
/// Most subscriptions of a live connection.
pub const LIVE_SUBSCRIPTIONS: usize = 32;
/// Longest name of a subscription, in characters.
pub const LIVE_ID_CHARS: usize = 100;
/// Largest message that a client may send over a live connection, in bytes.
pub const LIVE_MESSAGE_BYTES: usize = 16 * 1024;
/// Most messages of a live connection a second, over time, and at once. Raised: one connection can ask for more work.
pub const LIVE_MESSAGES_A_SECOND: u32 = 50;
/// See [`LIVE_MESSAGES_A_SECOND`].
pub const LIVE_MESSAGES_AT_ONCE: u32 = 200;
/// What waits for a live connection each way, in bytes, beside one message. Raised: more memory a connection. Lowered: more writes.
pub const LIVE_BUFFER_BYTES: usize = 4 * 1024;
/// Most topics that a live connection is at.
pub const LIVE_TOPICS: usize = 16;
/// Most connections that are at a topic.
pub const LIVE_TOPIC_MEMBERS: usize = 1_000;
/// Longest that a connection says of itself at a topic, in bytes of JSON.
pub const LIVE_PRESENCE_BYTES: usize = 1024;
/// Most notices of who comes and goes that wait for a live connection. Lowered: it is told whole lists sooner.
pub const LIVE_NOTICES: usize = 64;
/// How often a live connection asks its client for a sign of life, and looks whether its token still holds, in seconds.
pub const LIVE_LOOK_SECONDS: u64 = 5;
/// How long a client of a live connection may be silent, in seconds: then it is nowhere any more.
pub const LIVE_SILENCE_SECONDS: u64 = 30;
/// How long a live connection may take nothing before it is told to resume, in seconds.
pub const LIVE_SLOW_SECONDS: u64 = 5;
/// Largest update of a document, in bytes. Raised: one paste is more work for the leader.
pub const DOCUMENT_UPDATE_BYTES: usize = 256 * 1024;
/// Most connections that have a document open.
pub const DOCUMENT_CONNECTIONS: usize = 200;
/// Most messages that wait for a connection to a document; one that misses some is closed, and comes back.
pub const DOCUMENT_WAITING: usize = 256;
/// Most clients that a connection to a document speaks of.
pub const DOCUMENT_AWARENESS: usize = 16;
/// Longest that a client of a document says of itself, in bytes of JSON: a name, a colour, where its cursor is.
pub const DOCUMENT_AWARENESS_BYTES: usize = 2 * 1024;
/// Most messages of a connection to a document a second, over time, and at once.
pub const DOCUMENT_MESSAGES_A_SECOND: u32 = 100;
/// See [`DOCUMENT_MESSAGES_A_SECOND`].
pub const DOCUMENT_MESSAGES_AT_ONCE: u32 = 1_000;
/// Highest version that a record of an archive may have: what changes it afterwards goes on counting, and must not come to an end.
pub const VERSION_MAX: u64 = i64::MAX.unsigned_abs();

const _: () = assert!(LIVE_MESSAGE_BYTES >= 2 * FILTER_BYTES + LIVE_PRESENCE_BYTES && LIVE_SLOW_SECONDS < STREAM_IDLE_SECONDS);
const _: () = assert!(3 * LIVE_LOOK_SECONDS <= LIVE_SILENCE_SECONDS);
const _: () = assert!(LIST_DEFAULT <= LIST_MAX);
const _: () = assert!(CURSOR_BYTES >= (4 * 2 * 1_024 + 256) / 3 * 4);
const _: () = assert!(HEAD_BYTES >= CURSOR_BYTES + 4 * 3 * 1_024 + 4_096);
const _: () = assert!(IMPORT_LINE_BYTES <= BODY_BYTES);
const _: () = assert!(FRAME_BYTES >= 16 * 1024 && SEND_BUFFER_BYTES >= FRAME_BYTES);
const _: () = assert!(CONNECTION_WINDOW_BYTES >= STREAM_WINDOW_BYTES && STREAM_WINDOW_BYTES >= 65_535);
const _: () = assert!(HANDSHAKE_SECONDS <= HEAD_SECONDS && GOODBYE_SECONDS <= HEAD_SECONDS);
const _: () = assert!(SIGN_OF_LIFE_SECONDS < STREAM_IDLE_SECONDS);
const _: () = assert!(KEPT_BODIES_BYTES >= 64 * REPLAY_BYTES);
const _: () = assert!(KEPT_BODIES_WAIT_MILLIS < 1_000 * BODY_SECONDS);
const _: () = assert!(REPLAY_BYTES >= BODY_BYTES);
