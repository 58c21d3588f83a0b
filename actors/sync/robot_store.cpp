#include "actors/sync/robot_store.hpp"

#include <algorithm>
#include <cstring>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "messages/episode.hpp"

namespace drover::sync {
namespace {

using storage::ReadTxn;
using storage::WriteTxn;

constexpr std::string_view lost_prefix = "lost-chunk/";

std::vector<storage::NewRecord> views_of(const std::vector<NewRecord>& records) {
  std::vector<storage::NewRecord> views;
  views.reserve(records.size());
  for (const NewRecord& r : records) views.push_back({r.kind, r.time_unix_ns, r.payload.view(), record_schema_current});
  return views;
}

// Journals receipts; the flat messages live as long as the call.
Status journal_receipts(WriteTxn& txn, const storage::Journal& journal, const std::vector<Receipt>& receipts) {
  if (receipts.empty()) return {};
  std::vector<NewRecord> records;
  for (const Receipt& receipt : receipts)
    records.push_back({RecordKind::receipt, receipt.time_unix_ns, encode(receipt)});
  DROVER_ASSIGN(const auto range, journal.append_in(txn, views_of(records)));
  (void)range;
  return {};
}

}  // namespace

std::vector<std::string> robot_store_databases() {
  std::vector<std::string> names;
  for (auto list : {storage::Journal::databases(), storage::Blobs::databases(), storage::Marks::databases(),
                    storage::KnowledgeStore::databases()})
    names.insert(names.end(), list.begin(), list.end());
  return names;
}

RobotStore::RobotStore(RobotStoreOptions options, storage::Env env, storage::Journal journal)
    : options_(std::move(options)),
      env_(std::move(env)),
      journal_(std::move(journal)),
      blobs_(storage::Blobs::open(env_)),
      marks_(storage::Marks::open(env_)),
      knowledge_(storage::KnowledgeStore::open(env_)) {}

Result<RobotStore> RobotStore::open(const RobotStoreOptions& options) {
  storage::EnvOptions env_options;
  env_options.path = options.path;
  env_options.databases = robot_store_databases();
  env_options.map_initial_bytes = options.map_initial_bytes;
  env_options.map_max_bytes = options.map_max_bytes;
  env_options.free_reserve_bytes = options.free_reserve_bytes;
  env_options.sync = options.sync;
  env_options.verify = options.verify;
  DROVER_ASSIGN(auto env, storage::Env::open(env_options));
  DROVER_ASSIGN(auto journal, storage::Journal::open(env, {options.robot, options.incarnation}));
  return RobotStore(options, std::move(env), std::move(journal));
}

Status RobotStore::store_marks_in(WriteTxn& txn, const std::vector<SourceMark>& marks) const {
  for (const SourceMark& mark : marks) {
    if (mark.value.empty()) {
      DROVER_TRY(marks_.erase_in(txn, mark.key));
    } else {
      DROVER_TRY(marks_.set_in(txn, mark.key, mark.value));
    }
  }
  return {};
}

Result<StoredCapture> RobotStore::store(const StoreCapture& capture, int64_t now_unix_ns) {
  const auto apart = [&](buggify::Bug bug, StoreCapture part) -> Status {  // what must commit together, in two steps
    if (!buggify::bug(bug)) return {};
    return env_.write([&](WriteTxn& txn) -> Status {
      for (const NewChunk& chunk : part.chunks)
        DROVER_TRY(blobs_.put_in(txn, {chunk.hash, chunk.bytes.view(), chunk.value_per_byte, chunk.episode_id}));
      DROVER_TRY(journal_.append_in(txn, views_of(part.records)));
      return store_marks_in(txn, part.marks);
    });
  };
  DROVER_TRY(apart(buggify::Bug::mark_before_store, {{}, {}, capture.marks}));
  DROVER_TRY(apart(buggify::Bug::capture_not_atomic, {capture.records, {}, capture.marks}));
  auto stored = store_once(capture, now_unix_ns);
  if (stored) DROVER_TRY(apart(buggify::Bug::mark_after_store, {{}, {}, capture.marks}));
  return stored;
}

Result<StoredCapture> RobotStore::store_once(const StoreCapture& capture, int64_t now_unix_ns) {
  return env_.write([&](WriteTxn& txn) -> Result<StoredCapture> {
    uint64_t incoming_bytes = 0;
    for (const NewChunk& chunk : capture.chunks) {
      DROVER_ASSIGN(const bool held, blobs_.has_in(txn, chunk.hash));
      if (!held) incoming_bytes += chunk.bytes.size();
    }
    DROVER_ASSIGN(const auto receipts, make_room(txn, incoming_bytes, now_unix_ns));
    if (!buggify::bug(buggify::Bug::evict_without_receipt)) DROVER_TRY(journal_receipts(txn, journal_, receipts));
    for (const NewChunk& chunk : capture.chunks) {
      DROVER_TRY(forget_damaged(txn, chunk.hash, now_unix_ns));
      DROVER_ASSIGN(const bool stored,
                    blobs_.put_in(txn, {chunk.hash, chunk.bytes.view(), chunk.value_per_byte, chunk.episode_id}));
      (void)stored;
    }
    if (buggify::bug(buggify::Bug::capture_not_atomic)) return StoredCapture{};
    DROVER_ASSIGN(const auto range, journal_.append_in(txn, views_of(capture.records)));
    if (!buggify::bug(buggify::Bug::mark_after_store)) DROVER_TRY(store_marks_in(txn, capture.marks));
    return StoredCapture{range.first_seq, range.last_seq};
  });
}

// Content that was captured again replaces what was damaged here; the receipt of the loss stays in the journal.
Status RobotStore::forget_damaged(WriteTxn& txn, const Hash& hash, int64_t now_unix_ns) const {
  const std::string key = std::string(lost_prefix) + to_hex(hash);
  DROVER_ASSIGN(const auto told, marks_.get_in(txn, key));
  if (!told) return {};
  DROVER_TRY(marks_.erase_in(txn, key));
  DROVER_ASSIGN(const bool held, blobs_.has_in(txn, hash));
  if (!held) return {};
  DROVER_TRY(blobs_.ack_in(txn, hash));  // only what is acknowledged can be dropped
  DROVER_TRY(blobs_.evict_in(txn, std::span(&hash, 1), now_unix_ns, "damaged"));
  return {};
}

Result<std::vector<Receipt>> RobotStore::make_room(WriteTxn& txn, uint64_t incoming_bytes, int64_t now_unix_ns) const {
  if (incoming_bytes == 0) return std::vector<Receipt>{};
  DROVER_ASSIGN(const auto totals, blobs_.totals_in(txn));
  if (totals.held_bytes + incoming_bytes <= options_.quota_bytes || buggify::bug(buggify::Bug::quota_ignored))
    return std::vector<Receipt>{};
  const uint64_t needed_bytes = totals.held_bytes + incoming_bytes - options_.quota_bytes;
  if (totals.acked_bytes < needed_bytes && !buggify::bug(buggify::Bug::evict_unacked))
    return fail(Errc::disk_full, "quota",
                "chunks need " + std::to_string(incoming_bytes) + " bytes, the quota of " +
                    std::to_string(options_.quota_bytes) + " holds " + std::to_string(totals.held_bytes) +
                    " of which " + std::to_string(totals.held_bytes - totals.acked_bytes) +
                    " are not at the centre yet and may not go; connect the robot or raise store.quota_bytes");
  DROVER_ASSIGN(const auto candidates, blobs_.eviction_candidates_in(txn, needed_bytes));
  return blobs_.evict_in(txn, candidates, now_unix_ns, "quota");
}

Result<SourceMarks> RobotStore::marks(const std::string& prefix) const {
  return env_.read([&](const ReadTxn& txn) -> Result<SourceMarks> {
    SourceMarks found;
    DROVER_ASSIGN(auto list, marks_.list_in(txn, prefix));
    for (auto& [key, value] : list) found.marks.push_back({std::move(key), std::move(value)});
    return found;
  });
}

Result<BlockRead> RobotStore::read_block(uint64_t from_seq, uint32_t max_bytes) const {
  DROVER_ASSIGN(auto bytes, journal_.read(env_, from_seq, max_bytes));
  if (bytes.empty()) return BlockRead{};
  // The journal has just checked or built this block; its header says how many records it holds.
  DROVER_CHECK(bytes.size() >= block_header_bytes, "the journal gave a block without a header");
  uint32_t count = 0;
  uint64_t first_seq = 0;
  std::memcpy(&count, bytes.data() + 4, sizeof count);
  std::memcpy(&first_seq, bytes.data() + 8, sizeof first_seq);
  return BlockRead{first_seq, first_seq + count - 1, std::move(bytes)};
}

Result<Bytes> RobotStore::read_piece(const Hash& hash, uint64_t offset, uint32_t bytes, int64_t now_unix_ns) {
  auto piece = env_.read([&](const ReadTxn& txn) { return blobs_.get_piece_in(txn, hash, offset, bytes); });
  if (!piece && (piece.error().code == Errc::not_found || piece.error().code == Errc::corrupt))
    DROVER_TRY(journal_lost_chunk(hash, piece.error(), now_unix_ns));
  return piece;
}

Status RobotStore::journal_lost_chunk(const Hash& hash, const Error& why, int64_t now_unix_ns) {
  const std::string key = std::string(lost_prefix) + to_hex(hash);
  return env_.write([&](WriteTxn& txn) -> Status {
    DROVER_ASSIGN(const auto told, marks_.get_in(txn, key));
    if (told || buggify::bug(buggify::Bug::lost_chunk_not_told)) return {};
    DROVER_ASSIGN(const auto facts, blobs_.facts_in(txn, hash));
    Receipt receipt;
    receipt.time_unix_ns = now_unix_ns;
    receipt.hash = hash;
    receipt.size_bytes = facts ? facts->size_bytes : 0;
    receipt.reason = "lost: " + why.message();
    receipt.value_per_byte = facts ? facts->value_per_byte : 0;
    receipt.episode_id = facts && !facts->episodes.empty() ? facts->episodes.front() : "";
    receipt.acknowledged = facts && facts->acked;
    DROVER_TRY(journal_receipts(txn, journal_, {receipt}));
    return marks_.set_in(txn, key, why.message());
  });
}

Status RobotStore::records_acked(uint64_t seq) {
  return env_.write([&](WriteTxn& txn) { return journal_.ack_in(txn, seq); });
}

Status RobotStore::chunks_acked(const std::vector<Hash>& hashes) {
  return env_.write([&](WriteTxn& txn) -> Status {
    for (const Hash& hash : hashes) DROVER_TRY(blobs_.ack_in(txn, hash));
    return {};
  });
}

Status RobotStore::chunks_settled(uint64_t applied_seq) {
  // Looked at first without writing: the usual answer is that nothing changes.
  auto due = env_.read([&](const ReadTxn& txn) -> Result<bool> {
    DROVER_ASSIGN(const auto facts, journal_.facts_in(txn));
    DROVER_ASSIGN(const auto totals, blobs_.totals_in(txn));
    const bool settled = facts.last_seq <= applied_seq || buggify::bug(buggify::Bug::settled_too_early);
    return settled && totals.acked_bytes < totals.held_bytes;
  });
  if (!due) return tl::unexpected(due.error());
  if (!*due) return {};
  return env_.write([&](WriteTxn& txn) -> Status {
    DROVER_ASSIGN(const auto facts, journal_.facts_in(txn));
    if (facts.last_seq > applied_seq && !buggify::bug(buggify::Bug::settled_too_early)) return {};
    std::vector<Hash> held;
    DROVER_TRY(blobs_.each_held_in(txn, [&](const Hash& hash, const storage::ChunkFacts& chunk) -> Status {
      if (!chunk.acked) held.push_back(hash);
      return {};
    }));
    for (const Hash& hash : held) DROVER_TRY(blobs_.ack_in(txn, hash));
    return {};
  });
}

Result<KnowledgeApplied> RobotStore::apply_knowledge(const Bytes& snapshot) {
  DROVER_ASSIGN(const auto signed_knowledge, decode_signed_knowledge(snapshot));
  if (!options_.knowledge_key)
    return fail(Errc::refused, "knowledge", "no signing key is configured (knowledge.public_key_file)");
  if (!verify_knowledge(signed_knowledge, *options_.knowledge_key) && !buggify::bug(buggify::Bug::knowledge_unsigned))
    return fail(Errc::refused, "knowledge", "the signature is not of the configured key");
  DROVER_ASSIGN(const auto knowledge, decode_knowledge(signed_knowledge.body));
  DROVER_ASSIGN(const uint64_t version,
                env_.write([&](WriteTxn& txn) { return knowledge_.apply_in(txn, knowledge.version, snapshot); }));
  return KnowledgeApplied{version};
}

Result<RobotStoreFacts> RobotStore::facts() const {
  return env_.read([&](const ReadTxn& txn) -> Result<RobotStoreFacts> {
    RobotStoreFacts f;
    DROVER_ASSIGN(const auto journal, journal_.facts_in(txn));
    DROVER_ASSIGN(const auto totals, blobs_.totals_in(txn));
    DROVER_ASSIGN(const auto knowledge, knowledge_.newest_in(txn));
    f.robot = journal_.identity().robot;
    f.incarnation = journal_.identity().incarnation;
    f.first_seq = journal.last_seq == 0 ? 0 : journal.first_seq;
    f.last_seq = journal.last_seq;
    f.acked_seq = journal.acked_seq;
    f.knowledge_version = knowledge.version;
    f.blob_bytes = totals.held_bytes;
    f.blob_backlog_bytes = totals.held_bytes - totals.acked_bytes;
    f.quota_bytes = options_.quota_bytes;
    return f;
  });
}

}  // namespace drover::sync
