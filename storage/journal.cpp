#include "storage/journal.hpp"

#include <algorithm>

#include "messages/check.hpp"
#include "storage/fields.hpp"
#include "storage/keys.hpp"

namespace drover::storage {
namespace {

const auto key_identity = as_bytes("identity");
const auto key_acked = as_bytes("acked");
const auto key_trimmed = as_bytes("trimmed");

Key block_key(uint64_t first_seq, uint64_t last_seq) {
  Key key;
  key.u64(first_seq).u64(last_seq);
  return key;
}

struct Range {
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
};

Result<Range> range_of(ByteView key) {
  KeyReader reader(key);
  Range range{reader.u64(), reader.u64()};
  if (!reader.done() || range.first_seq == 0 || range.last_seq < range.first_seq)
    return fail(Errc::corrupt, "journal key " + to_hex(key), "not a block's key");
  return range;
}

Result<uint64_t> number(const ReadTxn& txn, Db state, ByteView key) {
  DROVER_ASSIGN(const auto value, txn.get(state, key));
  if (!value) return 0;
  RowReader row(*value);
  const uint64_t n = row.u64();
  if (!row.done()) return fail(Errc::corrupt, "journal " + std::string(as_text(key)), "odd row");
  return n;
}

Result<std::optional<JournalIdentity>> stored_identity(const ReadTxn& txn, Db state) {
  DROVER_ASSIGN(const auto value, txn.get(state, key_identity));
  if (!value) return std::nullopt;
  RowReader row(*value);
  JournalIdentity identity;
  identity.robot = row.text();
  identity.incarnation = row.u64();
  if (!row.done()) return fail(Errc::corrupt, "journal identity", "odd row");
  return identity;
}

Result<uint64_t> last_seq(const ReadTxn& txn, Db blocks, Db state) {
  Cursor at = txn.cursor(blocks);
  DROVER_ASSIGN(const bool any, at.last());
  if (!any) return number(txn, state, key_trimmed);
  DROVER_ASSIGN(const Range range, range_of(at.key()));
  return range.last_seq;
}

// The stored block under the cursor, checked against its key. Lives as long as the transaction.
Result<Block> block_at(const Cursor& at) {
  DROVER_ASSIGN(const Range range, range_of(at.key()));
  DROVER_ASSIGN(const ByteView value, at.value());
  DROVER_ASSIGN(Block block, Block::parse_sealed(Bytes::borrow(value)));
  if (block.first_seq() != range.first_seq || block.last_seq() != range.last_seq)
    return fail(Errc::corrupt, "journal block " + std::to_string(range.first_seq),
                "holds other records than its key says");
  return block;
}

}  // namespace

std::vector<std::string> Journal::databases() {
  return {"journal", "journal_state"};
}

Journal::Journal(Db blocks, Db state, JournalIdentity identity)
    : blocks_(blocks), state_(state), identity_(std::move(identity)) {}

Result<Journal> Journal::open(Env& env, const JournalIdentity& identity) {
  if (identity.robot.empty() || identity.robot.size() > 200 || identity.robot.find('\0') != std::string::npos)
    return fail(Errc::invalid_argument, "journal robot", "must be 1 to 200 characters without zero bytes");
  const Db blocks = env.db("journal");
  const Db state = env.db("journal_state");
  DROVER_ASSIGN(std::optional<JournalIdentity> held,
                env.read([&](const ReadTxn& txn) { return stored_identity(txn, state); }));
  if (!held) {
    DROVER_TRY(env.write([&](WriteTxn& txn) -> Status {
      RowWriter row;
      row.text(identity.robot).u64(identity.incarnation);
      return txn.put(state, key_identity, row);
    }));
    held = identity;
  }
  if (held->robot != identity.robot)
    return fail(Errc::conflict, env.path().string(),
                "this is the journal of robot '" + held->robot + "', not of '" + identity.robot + "'");
  return Journal(blocks, state, *held);
}

Result<Journal> Journal::open_existing(const Env& env) {
  const Db state = env.db("journal_state");
  DROVER_ASSIGN(const std::optional<JournalIdentity> held,
                env.read([&](const ReadTxn& txn) { return stored_identity(txn, state); }));
  if (!held) return fail(Errc::not_found, env.path().string(), "there is no journal in this store");
  return Journal(env.db("journal"), state, *held);
}

Result<AppendedRange> Journal::append_in(WriteTxn& txn, std::span<const NewRecord> records) const {
  if (records.empty()) return AppendedRange{};
  DROVER_ASSIGN(const uint64_t last, last_seq(txn, blocks_, state_));
  BlockBuilder builder(last + 1);
  const auto store = [&]() -> Status {
    const uint64_t first = builder.first_seq();
    const uint64_t end = builder.next_seq() - 1;
    const Bytes block = builder.finish();
    return txn.append(blocks_, block_key(first, end), block);
  };
  for (const NewRecord& record : records) {
    if (!builder.empty() && builder.size_bytes() + record_header_bytes + record.payload.size() > journal_block_bytes)
      DROVER_TRY(store());
    DROVER_TRY(builder.add(record.kind, record.schema, record.time_unix_ns, record.payload));
  }
  DROVER_TRY(store());
  return AppendedRange{last + 1, last + records.size()};
}

Result<AppendedRange> Journal::append(Env& env, std::span<const NewRecord> records) const {
  return env.write([&](WriteTxn& txn) { return append_in(txn, records); });
}

Result<JournalFacts> Journal::facts_in(const ReadTxn& txn) const {
  JournalFacts facts;
  DROVER_ASSIGN(facts.last_seq, last_seq(txn, blocks_, state_));
  DROVER_ASSIGN(facts.acked_seq, number(txn, state_, key_acked));
  Cursor at = txn.cursor(blocks_);
  DROVER_ASSIGN(const bool any, at.first());
  facts.first_seq = facts.last_seq + 1;
  if (any) {
    DROVER_ASSIGN(const Range range, range_of(at.key()));
    facts.first_seq = range.first_seq;
  }
  return facts;
}

Result<JournalFacts> Journal::facts(const Env& env) const {
  return env.read([&](const ReadTxn& txn) { return facts_in(txn); });
}

Result<Bytes> Journal::read_in(const ReadTxn& txn, uint64_t from_seq, uint64_t max_bytes) const {
  if (from_seq == 0) return fail(Errc::invalid_argument, "journal", "sequence numbers begin at 1");
  DROVER_ASSIGN(const uint64_t last, last_seq(txn, blocks_, state_));
  if (from_seq > last) return Bytes{};
  max_bytes = std::min<uint64_t>(max_bytes, block_max_bytes);
  Cursor at = txn.cursor(blocks_);
  DROVER_ASSIGN(bool more, at.at_most(block_key(from_seq, UINT64_MAX)));
  if (!more) return fail(Errc::gap, "journal", "record " + std::to_string(from_seq) + " was trimmed already");
  BlockBuilder builder(from_seq);
  if (at.value_bytes() > max_bytes / 8) builder.reserve(max_bytes);  // not for the trickle of a robot at rest
  while (more) {
    DROVER_ASSIGN(const Range range, range_of(at.key()));
    if (range.first_seq > builder.next_seq() || range.last_seq < builder.next_seq())
      return fail(Errc::corrupt, "journal", "record " + std::to_string(builder.next_seq()) + " is missing");
    if (!builder.empty() && builder.size_bytes() + record_header_bytes > max_bytes) break;
    DROVER_ASSIGN(const Block block, block_at(at));
    DROVER_ASSIGN(more, at.next());
    // The usual case: a stored block goes out as it lies.
    if (builder.empty() && block.first_seq() == from_seq && block.bytes().size() <= max_bytes &&
        (!more || block.bytes().size() + at.value_bytes() > max_bytes))
      return Bytes::copy_of(block.bytes());
    size_t from = builder.next_seq() - block.first_seq();
    if (builder.empty()) {  // the first record goes out whatever its size
      DROVER_TRY(builder.add_frame(block.record(from++)));
    }
    DROVER_ASSIGN(const size_t taken, builder.add_frames(block, from, block.count(), max_bytes));
    if (from + taken < block.count()) break;
  }
  return builder.finish();
}

Result<Bytes> Journal::read(const Env& env, uint64_t from_seq, uint64_t max_bytes) const {
  return env.read([&](const ReadTxn& txn) { return read_in(txn, from_seq, max_bytes); });
}

Status Journal::ack_in(WriteTxn& txn, uint64_t seq) const {
  DROVER_ASSIGN(const JournalFacts facts, facts_in(txn));
  if (seq > facts.last_seq)
    return fail(Errc::invalid_argument, "journal ack " + std::to_string(seq),
                "the journal ends at " + std::to_string(facts.last_seq));
  if (seq <= facts.acked_seq) return {};
  RowWriter row;
  row.u64(seq);
  return txn.put(state_, key_acked, row);
}

Result<uint64_t> Journal::trim_in(WriteTxn& txn, uint64_t upto) const {
  DROVER_ASSIGN(const JournalFacts facts, facts_in(txn));
  if (upto > facts.acked_seq)
    return fail(Errc::refused, "journal trim " + std::to_string(upto),
                "only " + std::to_string(facts.acked_seq) + " is acknowledged");
  uint64_t dropped = 0;
  uint64_t trimmed = 0;
  std::vector<Range> ranges;
  Cursor at = txn.cursor(blocks_);
  DROVER_ASSIGN(bool more, at.first());
  while (more) {
    DROVER_ASSIGN(const Range range, range_of(at.key()));
    if (range.last_seq > upto) break;
    ranges.push_back(range);
    DROVER_ASSIGN(more, at.next());
  }
  for (const Range& range : ranges) {
    DROVER_TRY(txn.erase(blocks_, block_key(range.first_seq, range.last_seq)));
    dropped += range.last_seq - range.first_seq + 1;
    trimmed = range.last_seq;
  }
  if (dropped == 0) return 0;
  RowWriter row;
  row.u64(trimmed);
  DROVER_TRY(txn.put(state_, key_trimmed, row));
  return dropped;
}

}  // namespace drover::storage
