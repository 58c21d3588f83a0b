#include "actors/sync/central_store.hpp"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "messages/buggify.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"

namespace drover::sync {
namespace {

using storage::ReadTxn;
using storage::RecordOrigin;
using storage::WriteTxn;

std::vector<std::string> joined(std::initializer_list<std::vector<std::string>> lists) {
  std::vector<std::string> names;
  for (const auto& list : lists) names.insert(names.end(), list.begin(), list.end());
  return names;
}

storage::EnvOptions env_options(const CentralStoreOptions& options, const char* folder,
                                std::vector<std::string> databases) {
  storage::EnvOptions env;
  env.path = std::filesystem::path(options.path) / folder;
  env.databases = std::move(databases);
  env.map_initial_bytes = options.map_initial_bytes;
  env.map_max_bytes = options.map_max_bytes;
  env.free_reserve_bytes = options.free_reserve_bytes;
  env.sync = options.sync;
  env.access = options.access;
  env.verify = options.verify;
  return env;
}

// What the record's sender did wrong, as opposed to trouble of our own disk.
bool sender_fault(const Error& error) {
  switch (error.code) {
    case Errc::invalid_argument:
    case Errc::corrupt:
    case Errc::truncated:
    case Errc::too_large:
    case Errc::unsupported_version:
    case Errc::conflict:
    case Errc::refused:
      return true;
    default:
      return false;
  }
}

}  // namespace

CentralStore::CentralStore(storage::Env inbox_env, storage::Env central_env)
    : inbox_env_(std::move(inbox_env)),
      central_env_(std::move(central_env)),
      inbox_(storage::Inbox::open(inbox_env_, {.verify_hashes = false})),
      progress_(storage::Inbox::open(central_env_)),
      packs_(central_env_),
      valuations_(central_env_),
      episodes_(central_env_),
      blobs_(storage::Blobs::open(central_env_)),
      knowledge_(storage::KnowledgeStore::open(central_env_)) {}

Result<std::unique_ptr<CentralStore>> CentralStore::open(const CentralStoreOptions& options) {
  if (options.access == storage::Access::read_write) {
    std::error_code failed;
    std::filesystem::create_directories(options.path, failed);
    if (failed) return fail(Errc::io, options.path, "cannot make the store's folder: " + failed.message());
  }
  DROVER_ASSIGN(auto inbox_env, storage::Env::open(env_options(options, "inbox", storage::Inbox::databases())));
  DROVER_ASSIGN(auto central_env,
                storage::Env::open(env_options(options, "central",
                                               joined({storage::Inbox::databases(), storage::DatapackStore::databases(),
                                                       storage::ValuationStore::databases(),
                                                       storage::EpisodeStore::databases(), storage::Blobs::databases(),
                                                       storage::KnowledgeStore::databases()}))));
  return std::unique_ptr<CentralStore>(new CentralStore(std::move(inbox_env), std::move(central_env)));
}

Result<storage::StreamFacts> CentralStore::open_stream(const StreamId& stream, int64_t now_unix_ns) {
  // A stream that exists costs no commit; only a new one does.
  auto known = inbox_env_.read([&](const ReadTxn& txn) -> Result<std::optional<storage::StreamFacts>> {
    DROVER_ASSIGN(const auto quarantined, inbox_.quarantined_in(txn, stream.robot));
    if (quarantined) return std::optional<storage::StreamFacts>();
    DROVER_ASSIGN(const auto streams, inbox_.streams_in(txn, stream.robot));
    for (const auto& facts : streams)
      if (facts.incarnation == stream.incarnation && facts.newest) return std::optional(facts);
    return std::optional<storage::StreamFacts>();
  });
  if (known && *known) return **known;
  return inbox_env_.write(
      [&](WriteTxn& txn) { return inbox_.open_stream_in(txn, stream.robot, stream.incarnation, now_unix_ns); });
}

Result<std::vector<storage::AppendOutcome>> CentralStore::append(std::span<const storage::Incoming> incoming) {
  return inbox_.append_many(inbox_env_, incoming);
}

Result<std::vector<StreamId>> CentralStore::streams() const {
  return inbox_env_.read([&](const ReadTxn& txn) -> Result<std::vector<StreamId>> {
    std::vector<StreamId> ids;
    DROVER_ASSIGN(const auto streams, inbox_.streams_in(txn));
    for (const auto& facts : streams) ids.push_back({facts.robot, facts.incarnation});
    return ids;
  });
}

Result<uint64_t> CentralStore::applied_seq(const StreamId& stream) const {
  return central_env_.read([&](const ReadTxn& txn) {
    return progress_.watermark_in(txn, apply_consumer, stream.robot, stream.incarnation);
  });
}

Result<Applied> CentralStore::apply(const StreamId& stream, uint64_t max_bytes, const RecordGuard& guard) {
  DROVER_ASSIGN(const uint64_t done_seq, applied_seq(stream));
  DROVER_ASSIGN(const auto blocks, inbox_env_.read([&](const ReadTxn& txn) {
    return inbox_.read_in(txn, stream.robot, stream.incarnation, done_seq + 1, max_bytes);
  }));
  if (blocks.empty()) return Applied{0, 0, done_seq, false};
  return central_env_.write([&](WriteTxn& txn) -> Result<Applied> {
    Applied applied;
    applied.applied_seq = done_seq;
    storage::DatapackBatch packs(packs_, txn);
    for (const Block& block : blocks) {
      for (size_t i = 0; i < block.count(); ++i) {
        const RecordView record = block.record(i);
        if (record.seq <= applied.applied_seq) continue;
        if (record.seq != applied.applied_seq + 1)
          return fail(Errc::corrupt, "inbox " + stream.robot, "a hole before seq " + std::to_string(record.seq));
        const bool last = &block == &blocks.back() && i + 1 == block.count();
        if (!last || i == 0 || !buggify::bug(buggify::Bug::apply_skips_one))
          DROVER_TRY(apply_record({txn, packs, stream, guard}, block, i, applied));
        applied.applied_seq = record.seq;
        ++applied.records;
      }
    }
    DROVER_TRY(packs.finish());
    applied.more = true;  // the caller asks again; an empty answer ends it
    DROVER_TRY(set_applied(txn, stream, applied.applied_seq));
    return applied;
  });
}

Status CentralStore::set_applied(WriteTxn& txn, const StreamId& stream, uint64_t seq) const {
  return progress_.set_watermark_in(txn, apply_consumer, stream.robot, stream.incarnation, seq);
}

Status CentralStore::skip_to(const StreamId& stream, uint64_t seq) {
  return central_env_.write([&](WriteTxn& txn) { return set_applied(txn, stream, seq); });
}

Status CentralStore::apply_record(const Target& to, const Block& block, size_t index, Applied& applied) {
  const RecordView record = block.record(index);
  Status taken;
  auto take = [&] { taken = take_record(to, record); };
  if (to.guard) {
    const auto offset = static_cast<size_t>(record.frame.data() - block.bytes().data());
    if (!to.guard(to.stream, block.bytes().slice(offset, record.frame.size()), take))
      taken = fail(Errc::refused, "quarantine", "the record ended the process that applied it again and again");
  } else {
    take();
  }
  if (taken) return {};
  if (!sender_fault(taken.error())) return taken;
  ++applied.rejected;
  const storage::RejectedRecord rejected{
      {to.stream.robot, to.stream.incarnation, record.seq}, record.kind, taken.error().message()};
  return episodes_.put_rejected(to.txn, rejected, record.payload);
}

Status CentralStore::take_record(const Target& to, const RecordView& record) {
  if (buggify::poisonous(as_text(record.payload))) throw std::runtime_error("a record that kills who applies it");
  const RecordOrigin origin{to.stream.robot, to.stream.incarnation, record.seq};
  WriteTxn& txn = to.txn;
  switch (record.kind) {
    case RecordKind::episode:
      return take_episode(to, record);
    case RecordKind::datapack:
      return take_datapack(to, record);
    case RecordKind::receipt:
      return take_receipt(txn, origin, record);
    case RecordKind::event: {
      DROVER_ASSIGN(const auto event, decode_event(record.payload));
      (void)event;
      return episodes_.put_event(txn, origin, record.payload);
    }
    case RecordKind::enrichment: {
      DROVER_ASSIGN(const auto enrichment, decode_enrichment(record.payload));
      return episodes_.put_enrichment(txn, origin, enrichment, record.payload);
    }
    case RecordKind::outcome: {
      DROVER_ASSIGN(const auto outcome, decode_outcome(record.payload));
      return episodes_.put_outcome(txn, origin, outcome, record.payload);
    }
  }
  return fail(Errc::unsupported_version, "record kind " + std::to_string(static_cast<unsigned>(record.kind)),
              "this coordinator does not know it; upgrade it and replay the stream");
}

Status CentralStore::take_episode(const Target& to, const RecordView& record) {
  DROVER_ASSIGN(const auto episode, decode_episode(record.payload));
  DROVER_TRY(validate(episode));
  if (episode.robot != to.stream.robot)
    return fail(Errc::refused, "episode.robot", "'" + episode.robot + "' is not the robot that sent it");
  std::vector<ChunkRef> chunks;
  for (const BlobRef& blob : episode.blobs) chunks.insert(chunks.end(), blob.chunks.begin(), blob.chunks.end());
  DROVER_TRY(episodes_.put_episode(to.txn, episode, record.payload));
  if (chunks.empty()) return {};
  return blobs_.refer_in(to.txn, to.stream.robot, episode.episode_id, episode.value_per_byte, chunks);
}

Status CentralStore::take_datapack(const Target& to, const RecordView& record) {
  DROVER_ASSIGN(const auto pack, decode_datapack(record.payload));
  if (pack.provenance.robot != to.stream.robot)
    return fail(Errc::refused, "provenance.robot", "'" + pack.provenance.robot + "' is not the robot that sent it");
  DROVER_ASSIGN(const auto outcome, to.packs.put_encoded(record.payload));
  (void)outcome;
  return {};
}

Status CentralStore::take_receipt(WriteTxn& txn, const RecordOrigin& origin, const RecordView& record) {
  DROVER_ASSIGN(const auto receipt, decode_receipt(record.payload));
  if (!buggify::bug(buggify::Bug::receipt_dropped))
    DROVER_TRY(episodes_.put_receipt(txn, origin, receipt, record.payload));
  return blobs_.unwant_in(txn, origin.robot, receipt.hash);
}

Result<std::vector<storage::WantedChunk>> CentralStore::wanted(const std::string& robot, uint64_t budget_bytes,
                                                               uint32_t max_items) const {
  return central_env_.read([&](const ReadTxn& txn) { return blobs_.wanted_in(txn, robot, budget_bytes, max_items); });
}

Result<std::vector<storage::Blobs::PieceResult>> CentralStore::put_pieces(
    std::span<const storage::Blobs::Piece> pieces) {
  return central_env_.write([&](WriteTxn& txn) -> Result<std::vector<storage::Blobs::PieceResult>> {
    std::vector<storage::Blobs::PieceResult> results;
    for (const auto& piece : pieces) {
      DROVER_ASSIGN(auto result, blobs_.put_piece_in(txn, piece));
      results.push_back(std::move(result));
    }
    return results;
  });
}

Result<storage::HeldKnowledge> CentralStore::knowledge() const {
  return central_env_.read([&](const ReadTxn& txn) { return knowledge_.newest_in(txn); });
}

Result<uint64_t> CentralStore::publish(uint64_t version, ByteView signed_bytes) {
  return central_env_.write([&](WriteTxn& txn) { return knowledge_.apply_in(txn, version, signed_bytes); });
}

Status CentralStore::import_packs(std::span<const Datapack> packs) {
  return central_env_.write([&](WriteTxn& txn) -> Status {
    storage::DatapackBatch batch(packs_, txn);
    for (const Datapack& pack : packs) {
      DROVER_ASSIGN(const auto outcome, batch.put(pack));
      (void)outcome;
    }
    return batch.finish();
  });
}

}  // namespace drover::sync
