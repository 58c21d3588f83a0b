#include "storage/blobs.hpp"

#include <algorithm>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "storage/fields.hpp"
#include "storage/keys.hpp"

namespace drover::storage {
namespace {

constexpr uint8_t flag_held = 1, flag_acked = 2;
const auto key_totals = as_bytes("totals");

std::string name_of(const Hash& hash) {
  return "chunk " + to_hex(hash).substr(0, 16);
}

Hash hash_at(ByteView bytes) {
  Hash hash{};
  if (bytes.size() == hash.size()) std::memcpy(hash.data(), bytes.data(), hash.size());
  return hash;
}

Key evict_key(const ChunkFacts& facts, const Hash& hash) {
  Key key;
  key.f64(facts.value_per_byte).raw(hash);
  return key;
}

Key wanted_key(std::string_view robot, const ChunkFacts& facts, const Hash& hash) {
  Key key;
  key.text(robot).f64_descending(facts.value_per_byte).raw(hash);
  return key;
}

Key part_key(const Hash& hash, uint64_t offset, uint64_t end) {
  Key key;
  key.raw(hash).u64(offset).u64(end);
  return key;
}

// Keeps a sorted set of names at most `bound` long: the smallest stay, so the result does not depend on order.
void add_name(std::vector<std::string>& names, std::string_view name, size_t bound) {
  if (name.empty()) return;
  const auto at = std::lower_bound(names.begin(), names.end(), name);
  if (at != names.end() && *at == name) return;
  names.insert(at, std::string(name));
  if (names.size() > bound) names.pop_back();
}

bool evictable(const ChunkFacts& facts) {
  return facts.held && (facts.acked || buggify::bug(buggify::Bug::evict_unacked));
}

Status check_size(const Hash& hash, uint64_t size_bytes, const std::optional<ChunkFacts>& known) {
  if (size_bytes == 0 || size_bytes > chunk_max_bytes)
    return fail(Errc::too_large, name_of(hash),
                std::to_string(size_bytes) + " bytes; chunks have 1 to " + std::to_string(chunk_max_bytes));
  if (known && known->size_bytes != size_bytes)
    return fail(Errc::conflict, name_of(hash),
                "has " + std::to_string(known->size_bytes) + " bytes, not " + std::to_string(size_bytes));
  return {};
}

// A value that orders: NaN and infinities from a damaged record must not break the indexes.
double usable(double value) {
  return value == value ? std::clamp(value, -1e300, 1e300) : 0.0;
}

void write_facts(RowWriter& row, const ChunkFacts& f) {
  row.u32(f.size_bytes).f64(f.value_per_byte);
  row.u8(static_cast<uint8_t>((f.held ? flag_held : 0) | (f.acked ? flag_acked : 0)));
  row.u32(static_cast<uint32_t>(f.episodes.size()));
  for (const auto& e : f.episodes) row.text(e);
  row.u32(static_cast<uint32_t>(f.wanted_of.size()));
  for (const auto& r : f.wanted_of) row.text(r);
}

Result<ChunkFacts> read_facts(const Hash& hash, ByteView value) {
  RowReader row(value);
  ChunkFacts f;
  f.size_bytes = row.u32();
  f.value_per_byte = row.f64();
  const uint8_t flags = row.u8();
  f.held = (flags & flag_held) != 0;
  f.acked = (flags & flag_acked) != 0;
  for (uint32_t n = row.u32(); n > 0 && row.ok(); --n) f.episodes.push_back(row.text());
  for (uint32_t n = row.u32(); n > 0 && row.ok(); --n) f.wanted_of.push_back(row.text());
  if (!row.done()) return fail(Errc::corrupt, name_of(hash), "odd state row");
  return f;
}

}  // namespace

BlobRef describe_blob(std::string name, std::string media_type, ByteView content) {
  BlobRef blob;
  blob.name = std::move(name);
  blob.media_type = std::move(media_type);
  blob.size_bytes = content.size();
  blob.hash = sha256(content);
  const size_t count = (content.size() + chunk_bytes - 1) / chunk_bytes;
  for (size_t i = 0; i < count; ++i) {
    const ByteView chunk = chunk_of(content, i);
    blob.chunks.push_back({sha256(chunk), static_cast<uint32_t>(chunk.size())});
  }
  return blob;
}

ByteView chunk_of(ByteView content, size_t index) {
  const size_t at = index * chunk_bytes;
  DROVER_CHECK(at < content.size(), "chunk index outside the blob");
  return content.subspan(at, std::min(chunk_bytes, content.size() - at));
}

std::vector<std::string> Blobs::databases() {
  return {"chunks", "chunk_states", "chunk_parts", "chunk_evictable", "chunk_wanted", "chunk_totals"};
}

Blobs::Blobs(Db chunks, Db states, Db parts, Db evictable, Db wanted, Db totals)
    : chunks_(chunks), states_(states), parts_(parts), evictable_(evictable), wanted_(wanted), totals_(totals) {}

Blobs Blobs::open(const Env& env) {
  return Blobs(env.db("chunks"), env.db("chunk_states"), env.db("chunk_parts"), env.db("chunk_evictable"),
               env.db("chunk_wanted"), env.db("chunk_totals"));
}

// ---- state rows and what is derived from them ------------------------------------------------

Result<std::optional<ChunkFacts>> Blobs::load(const ReadTxn& txn, const Hash& hash) const {
  DROVER_ASSIGN(const auto value, txn.get(states_, hash));
  if (!value) return std::nullopt;
  DROVER_ASSIGN(ChunkFacts facts, read_facts(hash, *value));
  return facts;
}

Status Blobs::index(WriteTxn& txn, const Hash& hash, const ChunkFacts& facts, bool add) const {
  if (evictable(facts)) {
    if (add) DROVER_TRY(txn.put(evictable_, evict_key(facts, hash), {}));
    if (!add) DROVER_TRY(txn.erase(evictable_, evict_key(facts, hash)));
  }
  for (const auto& robot : facts.wanted_of) {
    if (add) DROVER_TRY(txn.put(wanted_, wanted_key(robot, facts, hash), {}));
    if (!add) DROVER_TRY(txn.erase(wanted_, wanted_key(robot, facts, hash)));
  }
  return {};
}

Status Blobs::count(WriteTxn& txn, const ChunkFacts& facts, bool add) const {
  DROVER_ASSIGN(BlobTotals totals, totals_in(txn));
  const auto change = [add](uint64_t& total, uint64_t by) { total = add ? total + by : total - by; };
  if (facts.held) {
    change(totals.held_bytes, facts.size_bytes);
    change(totals.held_chunks, 1);
    if (facts.acked) change(totals.acked_bytes, facts.size_bytes);
  } else if (!facts.wanted_of.empty()) {
    change(totals.wanted_bytes, facts.size_bytes);
    change(totals.wanted_chunks, 1);
  }
  RowWriter row;
  row.u64(totals.held_bytes).u64(totals.held_chunks).u64(totals.acked_bytes);
  row.u64(totals.wanted_bytes).u64(totals.wanted_chunks);
  return txn.put(totals_, key_totals, row);
}

Status Blobs::save(WriteTxn& txn, const Hash& hash, const std::optional<ChunkFacts>& before,
                   const ChunkFacts& after) const {
  if (before) {
    DROVER_TRY(index(txn, hash, *before, false));
    DROVER_TRY(count(txn, *before, false));
  }
  DROVER_TRY(index(txn, hash, after, true));
  DROVER_TRY(count(txn, after, true));
  RowWriter row;
  write_facts(row, after);
  return txn.put(states_, hash, row);
}

Status Blobs::drop(WriteTxn& txn, const Hash& hash, const ChunkFacts& before) const {
  DROVER_TRY(index(txn, hash, before, false));
  DROVER_TRY(count(txn, before, false));
  DROVER_TRY(txn.erase(states_, hash));
  DROVER_TRY(txn.erase(chunks_, hash));
  return {};
}

// ---- storing ---------------------------------------------------------------------------------

Result<bool> Blobs::put_in(WriteTxn& txn, const NewChunk& chunk) const {
  DROVER_ASSIGN(const auto before, load(txn, chunk.hash));
  DROVER_TRY(check_size(chunk.hash, chunk.bytes.size(), before));
  const bool fresh = !before || !before->held;
  // Known content is not hashed again: the hash is the caller's claim about the bytes, ours were checked.
  if (fresh && sha256(chunk.bytes) != chunk.hash)
    return fail(Errc::corrupt, name_of(chunk.hash), "the content has another SHA-256");
  ChunkFacts after = before.value_or(ChunkFacts{});
  const double value = usable(chunk.value_per_byte);
  after.size_bytes = static_cast<uint32_t>(chunk.bytes.size());
  after.value_per_byte = before ? std::max(before->value_per_byte, value) : value;
  after.held = true;
  after.wanted_of.clear();
  add_name(after.episodes, chunk.episode_id, chunk_episodes_max);
  if (fresh) {
    DROVER_TRY(txn.put(chunks_, chunk.hash, chunk.bytes));
    DROVER_TRY(txn.erase_prefix(parts_, chunk.hash));
  }
  DROVER_TRY(save(txn, chunk.hash, before, after));
  return fresh;
}

Result<uint64_t> Blobs::have_bytes(const ReadTxn& txn, const Hash& hash) const {
  Cursor at = txn.cursor(parts_);
  DROVER_ASSIGN(const bool any, at.at_most(part_key(hash, UINT64_MAX, UINT64_MAX)));
  if (!any) return 0;
  KeyReader key(at.key());
  if (hash_at(key.raw(hash.size())) != hash) return 0;
  key.u64();
  const uint64_t end = key.u64();
  if (!key.done()) return fail(Errc::corrupt, name_of(hash), "odd part key");
  return end;
}

// Joins the parts; true when the content is right and stored. The parts are gone either way.
Result<bool> Blobs::finish_chunk(WriteTxn& txn, const Piece& piece, const std::optional<ChunkFacts>& before) const {
  std::vector<std::byte> whole;
  whole.reserve(piece.size_bytes);
  DROVER_TRY(txn.for_each(parts_, piece.hash, [&](ByteView key, ByteView value) -> Result<bool> {
    KeyReader reader(key.subspan(piece.hash.size()));
    if (reader.u64() != whole.size() || reader.u64() != whole.size() + value.size())
      return fail(Errc::corrupt, name_of(piece.hash), "its parts do not join");
    whole.insert(whole.end(), value.begin(), value.end());
    return true;
  }));
  DROVER_TRY(txn.erase_prefix(parts_, piece.hash));
  const bool right = whole.size() == piece.size_bytes && sha256(whole) == piece.hash;
  if (!right && !buggify::bug(buggify::Bug::chunk_not_checked)) return false;
  ChunkFacts after = before.value_or(ChunkFacts{});
  after.size_bytes = piece.size_bytes;
  after.held = true;
  after.wanted_of.clear();
  DROVER_TRY(txn.put(chunks_, piece.hash, whole));
  DROVER_TRY(save(txn, piece.hash, before, after));
  return true;
}

Result<Blobs::PieceResult> Blobs::put_piece_in(WriteTxn& txn, const Piece& piece) const {
  DROVER_ASSIGN(const auto before, load(txn, piece.hash));
  if (before && before->held) return PieceResult{{before->size_bytes, true}, std::nullopt};
  DROVER_ASSIGN(uint64_t have, have_bytes(txn, piece.hash));
  if (const Status size = check_size(piece.hash, piece.size_bytes, before); !size)
    return PieceResult{{have, false}, size.error()};
  if (piece.offset > piece.size_bytes || piece.bytes.size() > piece.size_bytes - piece.offset ||
      have > piece.size_bytes)
    return PieceResult{{have, false}, Error{Errc::invalid_argument, name_of(piece.hash), "a piece past its end"}};
  const uint64_t end = piece.offset + piece.bytes.size();
  const bool gap = piece.offset > have && !buggify::bug(buggify::Bug::piece_gap_accepted);
  if (gap || (end <= have && have < piece.size_bytes)) return PieceResult{{have, false}, std::nullopt};
  if (end > have) {
    const ByteView tail = piece.bytes.subspan(piece.offset > have ? 0 : have - piece.offset);
    if (piece.offset > have) have = piece.offset;
    DROVER_TRY(txn.put(parts_, part_key(piece.hash, have, end), tail));
    have = end;
  }
  if (have < piece.size_bytes) return PieceResult{{have, false}, std::nullopt};
  DROVER_ASSIGN(const bool good, finish_chunk(txn, piece, before));
  if (good) return PieceResult{{have, true}, std::nullopt};
  return PieceResult{{0, false},
                     Error{Errc::corrupt, name_of(piece.hash), "the content that came has another SHA-256; dropped"}};
}

// ---- reading ---------------------------------------------------------------------------------

Result<Bytes> Blobs::get_in(const ReadTxn& txn, const Hash& hash) const {
  DROVER_ASSIGN(const auto value, txn.get(chunks_, hash));
  if (!value) return fail(Errc::not_found, name_of(hash), "is not here");
  return Bytes::copy_of(*value);
}

Result<Bytes> Blobs::get_piece_in(const ReadTxn& txn, const Hash& hash, uint64_t offset, uint64_t size) const {
  DROVER_ASSIGN(const auto value, txn.get(chunks_, hash));
  if (!value) return fail(Errc::not_found, name_of(hash), "is not here");
  if (offset > value->size()) return fail(Errc::invalid_argument, name_of(hash), "a piece past its end");
  return Bytes::copy_of(value->subspan(offset, std::min<uint64_t>(size, value->size() - offset)));
}

Result<bool> Blobs::has_in(const ReadTxn& txn, const Hash& hash) const {
  DROVER_ASSIGN(const auto facts, load(txn, hash));
  return facts && facts->held;
}

Result<std::optional<ChunkFacts>> Blobs::facts_in(const ReadTxn& txn, const Hash& hash) const {
  return load(txn, hash);
}

Result<std::vector<ChunkRef>> Blobs::missing_in(const ReadTxn& txn, std::span<const ChunkRef> chunks) const {
  std::vector<ChunkRef> missing;
  for (const ChunkRef& chunk : chunks) {
    DROVER_ASSIGN(const bool here, has_in(txn, chunk.hash));
    if (!here) missing.push_back(chunk);
  }
  return missing;
}

Result<BlobTotals> Blobs::totals_in(const ReadTxn& txn) const {
  DROVER_ASSIGN(const auto value, txn.get(totals_, key_totals));
  BlobTotals t;
  if (!value) return t;
  RowReader row(*value);
  t.held_bytes = row.u64();
  t.held_chunks = row.u64();
  t.acked_bytes = row.u64();
  t.wanted_bytes = row.u64();
  t.wanted_chunks = row.u64();
  if (!row.done()) return fail(Errc::corrupt, "chunk totals", "odd row");
  return t;
}

Status Blobs::each_held_in(const ReadTxn& txn,
                           const std::function<Status(const Hash&, const ChunkFacts&)>& visit) const {
  return txn.for_each(states_, {}, [&](ByteView key, ByteView value) -> Result<bool> {
    const Hash hash = hash_at(key);
    DROVER_ASSIGN(const ChunkFacts facts, read_facts(hash, value));
    if (facts.held) DROVER_TRY(visit(hash, facts));
    return true;
  });
}

Status Blobs::stream_in(const ReadTxn& txn, const BlobRef& blob, const std::function<Status(ByteView)>& sink) const {
  Sha256 hash;
  uint64_t size = 0;
  for (const ChunkRef& chunk : blob.chunks) {
    DROVER_ASSIGN(const auto value, txn.get(chunks_, chunk.hash));
    if (!value) return fail(Errc::not_found, "blob " + blob.name + " " + name_of(chunk.hash), "is not here");
    if (value->size() != chunk.size_bytes)
      return fail(Errc::corrupt, "blob " + blob.name + " " + name_of(chunk.hash),
                  "has another size than its episode says");
    hash.update(*value);
    size += value->size();
    DROVER_TRY(sink(*value));
  }
  if (size != blob.size_bytes || hash.finish() != blob.hash)
    return fail(Errc::corrupt, "blob " + blob.name, "its chunks do not join to what its episode says");
  return {};
}

// ---- robot: acknowledged and evicted ---------------------------------------------------------

Status Blobs::ack_in(WriteTxn& txn, const Hash& hash) const {
  DROVER_ASSIGN(const auto before, load(txn, hash));
  if (!before || !before->held || before->acked) return {};
  ChunkFacts after = *before;
  after.acked = true;
  return save(txn, hash, before, after);
}

// The order that must not be; only a seeded bug comes here.
Result<std::vector<Hash>> Blobs::most_valuable(const ReadTxn& txn, uint64_t bytes) const {
  std::vector<Hash> hashes;
  uint64_t sum = 0;
  Cursor at = txn.cursor(evictable_);
  DROVER_ASSIGN(bool more, at.last());
  while (more && sum < bytes) {
    hashes.push_back(hash_at(at.key().subspan(std::min<size_t>(8, at.key().size()))));
    DROVER_ASSIGN(const auto facts, load(txn, hashes.back()));
    sum += facts ? facts->size_bytes : 0;
    DROVER_ASSIGN(more, at.previous());
  }
  return hashes;
}

Result<std::vector<Hash>> Blobs::eviction_candidates_in(const ReadTxn& txn, uint64_t bytes) const {
  std::vector<Hash> hashes;
  uint64_t sum = 0;
  if (bytes == 0) return hashes;
  if (buggify::bug(buggify::Bug::evict_most_valuable)) return most_valuable(txn, bytes);
  DROVER_TRY(txn.for_each(evictable_, {}, [&](ByteView key, ByteView) -> Result<bool> {
    const Hash hash = hash_at(key.subspan(std::min<size_t>(8, key.size())));
    DROVER_ASSIGN(const auto facts, load(txn, hash));
    if (!facts || !evictable(*facts)) return fail(Errc::corrupt, name_of(hash), "is listed as evictable but is not");
    hashes.push_back(hash);
    sum += facts->size_bytes;
    return sum < bytes;
  }));
  return hashes;
}

Result<std::vector<Receipt>> Blobs::evict_in(WriteTxn& txn, std::span<const Hash> hashes, int64_t now_unix_ns,
                                             std::string_view reason) const {
  for (const Hash& hash : hashes) {
    DROVER_ASSIGN(const auto facts, load(txn, hash));
    if (!facts || !facts->held) return fail(Errc::not_found, name_of(hash), "is not here");
    if (!facts->acked && !buggify::bug(buggify::Bug::evict_unacked))
      return fail(Errc::refused, name_of(hash), "the centre does not have it yet");
  }
  std::vector<Receipt> receipts;
  for (const Hash& hash : hashes) {
    DROVER_ASSIGN(const auto facts, load(txn, hash));
    if (!facts) return fail(Errc::not_found, name_of(hash), "is named twice");
    Receipt receipt;
    receipt.time_unix_ns = now_unix_ns;
    receipt.hash = hash;
    receipt.size_bytes = facts->size_bytes;
    receipt.reason = std::string(reason);
    receipt.value_per_byte = facts->value_per_byte;
    if (!facts->episodes.empty()) receipt.episode_id = facts->episodes.front();
    receipt.acknowledged = true;
    DROVER_TRY(drop(txn, hash, *facts));
    receipts.push_back(std::move(receipt));
  }
  return receipts;
}

// ---- centre: referred to and wanted ----------------------------------------------------------

Status Blobs::refer_in(WriteTxn& txn, std::string_view robot, std::string_view episode_id, double value_per_byte,
                       std::span<const ChunkRef> chunks) const {
  if (robot.empty() || robot.size() > 200 || robot.find('\0') != std::string_view::npos)
    return fail(Errc::invalid_argument, "robot", "must be 1 to 200 bytes without zero bytes");
  const double value = usable(value_per_byte);
  for (const ChunkRef& chunk : chunks) {
    DROVER_ASSIGN(const auto before, load(txn, chunk.hash));
    DROVER_TRY(check_size(chunk.hash, chunk.size_bytes, before));
    ChunkFacts after = before.value_or(ChunkFacts{});
    after.size_bytes = chunk.size_bytes;
    after.value_per_byte = before ? std::max(before->value_per_byte, value) : value;
    add_name(after.episodes, episode_id, chunk_episodes_max);
    if (!after.held) add_name(after.wanted_of, robot, chunk_robots_max);
    DROVER_TRY(save(txn, chunk.hash, before, after));
  }
  return {};
}

Result<std::vector<WantedChunk>> Blobs::wanted_in(const ReadTxn& txn, std::string_view robot, uint64_t budget_bytes,
                                                  uint32_t max_items) const {
  std::vector<WantedChunk> list;
  if (max_items == 0 || budget_bytes == 0) return list;
  Key prefix;
  prefix.text(robot);
  const size_t skip = prefix.view().size() + 8;
  uint64_t sum = 0;
  DROVER_TRY(txn.for_each(wanted_, prefix, [&](ByteView key, ByteView) -> Result<bool> {
    const Hash hash = hash_at(key.subspan(std::min(skip, key.size())));
    DROVER_ASSIGN(const auto facts, load(txn, hash));
    if (!facts || facts->held) return fail(Errc::corrupt, name_of(hash), "is listed as wanted but is not");
    DROVER_ASSIGN(const uint64_t have, have_bytes(txn, hash));
    const uint64_t rest = facts->size_bytes - std::min<uint64_t>(have, facts->size_bytes);
    if (have > 0 && buggify::bug(buggify::Bug::want_forgotten)) return true;
    if (!list.empty() && sum + rest > budget_bytes) return false;
    sum += rest;
    list.push_back({hash, facts->size_bytes, have, facts->value_per_byte});
    return list.size() < max_items;
  }));
  return list;
}

Status Blobs::unwant_in(WriteTxn& txn, std::string_view robot, const Hash& hash) const {
  DROVER_ASSIGN(const auto before, load(txn, hash));
  if (!before || before->held) return {};
  ChunkFacts after = *before;
  std::erase(after.wanted_of, robot);
  return save(txn, hash, before, after);
}

}  // namespace drover::storage
