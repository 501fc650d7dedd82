//! Every bound of this crate, with what gets worse when it is raised and when it is lowered.

/// Largest payload of one proposal, bytes. Higher: one entry delays all behind it longer. Lower: callers must split sooner.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Largest snapshot chunk, bytes. Higher: more memory a transfer. Lower: more round trips a gigabyte.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 1 << 20;

/// Proposals of a group between `propose` and their outcome. Higher: more memory, longer queues. Lower: smaller batches under load.
pub(crate) const IN_FLIGHT_PROPOSALS_MAX: usize = 4_096;

/// Payload bytes of those proposals. Higher: more memory. Lower: large payloads wait for each other.
pub(crate) const IN_FLIGHT_BYTES_MAX: u32 = 32 << 20;

/// How long a proposal waits for room, or for a machine that is over its limit, before it is told `Overloaded`, ms. Higher: slow
/// answers instead of refusals. Lower: refusals in bursts that would have passed.
pub(crate) const ADMISSION_WAIT_MS: u64 = 2_000;

/// How long a proposal waits for its outcome before that is `Unknown`, ms. Higher: callers hang longer in a partition. Lower: more
/// unknown outcomes when disks are slow.
pub(crate) const OUTCOME_WAIT_MS: u64 = 30_000;

/// Stamps kept of when entries passed which stage. Lower than the proposals in flight: stages go missing. Higher: memory.
pub(crate) const STAGE_RING_ENTRIES: usize = 8_192;

/// Entries that wait for, or are in, a group's apply thread. Higher: a slow machine's replica holds more memory. Lower: a stall of
/// the machine reaches replication sooner.
pub(crate) const APPLY_QUEUE_ENTRIES_MAX: usize = 16_384;

/// Bytes of those entries.
pub(crate) const APPLY_QUEUE_BYTES_MAX: u32 = 64 << 20;

/// Entries of one apply batch. Higher: longer commits, later replies. Lower: more commits.
pub(crate) const APPLY_BATCH_ENTRIES_MAX: usize = 4_096;

/// Payload bytes of one apply batch (a single larger entry is its own batch).
pub(crate) const APPLY_BATCH_BYTES_MAX: usize = 8 << 20;

/// How long apply pauses before a batch for a machine that is overloaded, ms, at most. Higher: reads on such a follower wait longer.
/// Lower: its memory grows faster.
pub(crate) const APPLY_PAUSE_MS: u64 = 2_000;

/// Entries of one append request. Higher: a slow follower acknowledges in larger steps. Lower: more requests under load.
pub(crate) const APPEND_ENTRIES_MAX: u64 = 2_048;

/// Log bytes read for one append request (at least one entry). Higher: heartbeats of other groups wait longer on the thread.
pub(crate) const APPEND_BYTES_MAX: usize = 1 << 20;

/// Append requests on the way to one follower of one group. More were slower on a LAN with synchronous disks.
pub(crate) const APPEND_WINDOW: usize = 3;

/// Time for the answer to an append request, ms, at least. It includes the follower's fsync.
pub(crate) const APPEND_TTL_MS_MIN: u64 = 500;

/// Time for the answer to a vote, hand-over or read request, ms, at least.
pub(crate) const CONTROL_TTL_MS_MIN: u64 = 250;

/// Time for the answer to a snapshot chunk or to the installation of a snapshot, ms. Installing fsyncs the whole state.
pub(crate) const SNAPSHOT_TTL_MS: u64 = 120_000;

/// Snapshot chunks on the way to a replica. Higher: memory on both sides. Lower: a long link is not filled.
pub(crate) const SNAPSHOT_WINDOW: usize = 4;

/// Largest frame between nodes, bytes, without its length. An append request of one maximal entry fits.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(FRAME_BYTES_MAX > PAYLOAD_BYTES_MAX + APPEND_BYTES_MAX + (1 << 20));

/// Frames that wait for one connection. Higher: memory when a peer is slow. Lower: spurious "unreachable".
pub(crate) const LINK_QUEUE_FRAMES_MAX: usize = 2_048;

/// Bytes of those frames.
pub(crate) const LINK_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Bytes of frames that are joined into one write.
pub(crate) const LINK_WRITE_BYTES: usize = 256 << 10;

/// Requests of one connection that are being answered; the reader pauses above it.
pub(crate) const CONNECTION_REQUESTS_MAX: usize = 1_024;

/// Requests of one group on one connection that are being answered; more are refused, so that a stuck group cannot take the
/// connection away from the others.
pub(crate) const GROUP_REQUESTS_MAX: usize = 64;

/// Time to connect, to do the TLS handshake, and to exchange greetings, ms each.
pub(crate) const CONNECT_MS: u64 = 1_000;

/// Connections that are in their handshake. Higher: a flood of strangers costs more. Lower: nodes that start together wait.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// Pause before a connection is tried again, ms: doubles from the first to the second.
pub(crate) const REDIAL_MS: (u64, u64) = (50, 500);

/// Pause before a connection is tried again that the peer, or this node, refused, ms.
pub(crate) const REFUSED_MS: u64 = 3_000;

/// How long the same refusal of a peer is not logged again, ms.
pub(crate) const COMPLAINT_MS: u64 = 60_000;

/// A connection that was idle this long sends a ping, ms.
pub(crate) const PING_MS: u64 = 500;

/// A connection that hears nothing for so long is closed by who dialled it, ms. Higher: a peer that vanished without a word is
/// noticed later. Lower: a pause of a peer costs a handshake.
pub(crate) const SILENT_MS: u64 = 2_000;

/// The other side waits longer, ms, so that a pause of its own does not look like one of its peer.
pub(crate) const ABANDONED_MS: u64 = 10_000;

const _: () = assert!(SILENT_MS >= 4 * PING_MS && ABANDONED_MS > SILENT_MS);

/// A node that was not heard from for this long is not `reachable`, ms.
pub(crate) const REACHABLE_MS: u64 = 2_000;

/// Reads of one node and group that wait for the next barrier round.
pub(crate) const BARRIER_WAITERS_MAX: usize = 8_192;

/// Bounds of the time that a read barrier may take, ms. It is four times the longest election within them.
pub(crate) const BARRIER_WAIT_MS: (u64, u64) = (500, 2_000);

/// The snapshot point follows the durable mark when it is behind by so many entries, or so many bytes of log.
pub(crate) const SNAPSHOT_EVERY: (u64, u64) = (10_000, 16 << 20);

/// The machine is told to persist when what it has not made durable exceeds so many entries, or so many bytes of log. Higher: a
/// longer replay after a crash and more disk. Lower: work that the machine's own pace would have saved.
pub(crate) const PERSIST_EVERY: (u64, u64) = (500_000, 512 << 20);

/// Log that is kept, though durable, for followers that were away: so many entries, so many bytes, whatever is less. Higher: disk,
/// and longer recovery. Lower: snapshots where a few entries would have done.
pub(crate) const KEEP: (u64, u64) = (50_000, 64 << 20);

/// Log that is kept, though durable, because somebody has not taken it yet ([`StateMachine::taken`](crate::StateMachine::taken)), bytes.
/// Higher: disk, and longer recovery. Lower: who was away has to do without.
pub(crate) const UNTAKEN_BYTES: u64 = 256 << 20;

const _: () = assert!(UNTAKEN_BYTES > KEEP.1);

/// Log that is kept, though durable, for whoever is being sent a snapshot, until he has caught up behind it, bytes. Higher: disk, and
/// longer recovery. Lower: under load large states need another snapshot as soon as one has arrived.
pub(crate) const SENT_BYTES: u64 = 256 << 20;

const _: () = assert!(SENT_BYTES > KEEP.1);

/// Most entries that [`Group::entries`](crate::Group::entries) gives at once. Higher: memory. Lower: more calls.
pub(crate) const READ_ENTRIES_MAX: u64 = 65_536;

/// How often a group looks after its log and its lease, ms.
pub(crate) const KEEPER_MS: u64 = 100;

/// How long a new group waits for all its members to be there before it is refused, ms.
pub(crate) const GREETED_MS: u64 = 5_000;

/// How often the room in the node's log is looked at, ms.
pub(crate) const LOG_ROOM_MS: u64 = 50;

/// How long a leader may be without room in its log before it hands over, ms.
pub(crate) const FULL_LEADER_MS: u64 = 2_000;

/// How long it then waits before it tries again, ms. All nodes may be full.
pub(crate) const FULL_LEADER_AGAIN_MS: u64 = 10_000;

/// How long one step of a change of members may take until it is committed, ms.
pub(crate) const CHANGE_MS: u64 = 10_000;

/// How long a snapshot may be on its way, ms. Higher: a transfer that hardly moves holds its view of the machine longer. Lower: large
/// states never arrive over slow links.
pub(crate) const TRANSFER_MS: u64 = 600_000;

/// How long a hand-over may take, ms.
pub(crate) const HAND_OVER_MS: u64 = 3_000;

/// How long a new replica may take to catch up before it votes, ms.
pub(crate) const CATCH_UP_MS: u64 = 600_000;
