#include "storage/inbox.hpp"

#include <algorithm>

#include "messages/buggify.hpp"
#include "messages/check.hpp"
#include "storage/fields.hpp"
#include "storage/keys.hpp"

namespace drover::storage {
namespace {

constexpr size_t name_max_bytes = 200;

Status check_name(std::string_view field, std::string_view name) {
  if (name.empty() || name.size() > name_max_bytes || name.find('\0') != std::string_view::npos)
    return fail(Errc::invalid_argument, std::string(field), "must be 1 to 200 bytes without zero bytes");
  return {};
}

std::string stream_name(const StreamFacts& stream) {
  return stream.robot + "/" + std::to_string(stream.incarnation);
}

Key stream_key(std::string_view robot, uint64_t rank) {
  Key key;
  key.text(robot).u64(rank);
  return key;
}

Key block_key(const StreamFacts& stream, uint64_t first_seq, uint64_t last_seq) {
  Key key = stream_key(stream.robot, stream.rank);
  key.u64(first_seq).u64(last_seq);
  return key;
}

// The stored block under the cursor; nothing when the cursor has left the stream.
Result<std::optional<Block>> block_at(const Cursor& at, const StreamFacts& stream) {
  KeyReader reader(at.key());
  if (reader.text() != stream.robot || reader.u64() != stream.rank) return std::nullopt;
  const uint64_t first = reader.u64();
  const uint64_t last = reader.u64();
  DROVER_ASSIGN(const ByteView value, at.value());
  DROVER_ASSIGN(Block block, Block::parse_sealed(Bytes::copy_of(value)));
  if (!reader.done() || block.first_seq() != first || block.last_seq() != last)
    return fail(Errc::corrupt, "inbox " + stream_name(stream) + " block " + std::to_string(first),
                "holds other records than its key says");
  return block;
}

Result<StreamFacts> read_stream(ByteView key, ByteView value) {
  KeyReader k(key);
  RowReader row(value);
  StreamFacts s;
  s.robot = std::string(k.text());
  s.rank = k.u64();
  s.incarnation = row.u64();
  s.durable_seq = row.u64();
  s.first_seen_unix_ns = row.i64();
  s.last_seen_unix_ns = row.i64();
  if (!k.done() || !row.done()) return fail(Errc::corrupt, "inbox stream " + to_hex(key), "odd row");
  return s;
}

}  // namespace

std::string_view append_status_name(AppendStatus status) noexcept {
  switch (status) {
    case AppendStatus::ok:
      return "ok";
    case AppendStatus::gap:
      return "gap";
    case AppendStatus::conflict:
      return "conflict";
    case AppendStatus::refused:
      return "refused";
    case AppendStatus::corrupt:
      return "corrupt";
  }
  return "unknown";
}

std::vector<std::string> Inbox::databases() {
  return {"inbox", "inbox_streams", "inbox_quarantine", "inbox_watermarks"};
}

Inbox::Inbox(Db blocks, Db streams, Db quarantine, Db watermarks, InboxOptions options)
    : blocks_(blocks), streams_(streams), quarantine_(quarantine), watermarks_(watermarks), options_(options) {}

Inbox Inbox::open(const Env& env, InboxOptions options) {
  return Inbox(env.db("inbox"), env.db("inbox_streams"), env.db("inbox_quarantine"), env.db("inbox_watermarks"),
               options);
}

Result<std::vector<StreamFacts>> Inbox::list(const ReadTxn& txn, ByteView prefix) const {
  std::vector<StreamFacts> all;
  DROVER_TRY(txn.for_each(streams_, prefix, [&](ByteView key, ByteView value) -> Result<bool> {
    DROVER_ASSIGN(StreamFacts stream, read_stream(key, value));
    if (!all.empty() && all.back().robot == stream.robot) all.back().newest = false;
    stream.newest = true;
    all.push_back(std::move(stream));
    return true;
  }));
  return all;
}

Result<std::vector<StreamFacts>> Inbox::streams_in(const ReadTxn& txn, std::string_view robot) const {
  if (robot.empty()) return list(txn, {});
  DROVER_TRY(check_name("robot", robot));
  Key prefix;
  prefix.text(robot);
  return list(txn, prefix);
}

Result<std::optional<StreamFacts>> Inbox::find(const ReadTxn& txn, std::string_view robot, uint64_t incarnation) const {
  DROVER_ASSIGN(const auto streams, streams_in(txn, robot));
  for (const StreamFacts& stream : streams)
    if (stream.incarnation == incarnation || (stream.newest && buggify::bug(buggify::Bug::incarnation_ignored)))
      return stream;
  return std::nullopt;
}

Status Inbox::save(WriteTxn& txn, const StreamFacts& s) const {
  RowWriter row;
  row.u64(s.incarnation).u64(s.durable_seq).i64(s.first_seen_unix_ns).i64(s.last_seen_unix_ns);
  return txn.put(streams_, stream_key(s.robot, s.rank), row);
}

Result<StreamFacts> Inbox::open_stream_in(WriteTxn& txn, std::string_view robot, uint64_t incarnation,
                                          int64_t now_unix_ns) const {
  DROVER_TRY(check_name("robot", robot));
  const std::string where = std::string(robot) + "/" + std::to_string(incarnation);
  DROVER_ASSIGN(const auto quarantine, quarantined_in(txn, robot));
  if (quarantine) return fail(Errc::refused, where, "the robot is quarantined: " + quarantine->reason);
  DROVER_ASSIGN(const auto streams, streams_in(txn, robot));
  for (const StreamFacts& stream : streams) {
    if (stream.incarnation != incarnation && !buggify::bug(buggify::Bug::incarnation_ignored)) continue;
    if (stream.newest || buggify::bug(buggify::Bug::old_incarnation_accepted)) return stream;
    return fail(Errc::refused, where,
                "an older incarnation; the newest is " + std::to_string(streams.back().incarnation));
  }
  StreamFacts stream;
  stream.robot = std::string(robot);
  stream.incarnation = incarnation;
  stream.rank = streams.empty() ? 1 : streams.back().rank + 1;
  stream.first_seen_unix_ns = stream.last_seen_unix_ns = now_unix_ns;
  stream.newest = true;
  DROVER_TRY(save(txn, stream));
  return stream;
}

// Compares the records that are stored already; names the first one with other content.
Result<std::optional<std::string>> Inbox::differing(const ReadTxn& txn, const StreamFacts& stream,
                                                    const Block& block) const {
  const uint64_t end = std::min(block.last_seq(), stream.durable_seq);
  uint64_t seq = block.first_seq();
  if (seq > end) return std::nullopt;
  Cursor at = txn.cursor(blocks_);
  DROVER_ASSIGN(bool more, at.at_most(block_key(stream, seq, UINT64_MAX)));
  while (seq <= end) {
    std::optional<Block> stored;
    if (more) {
      DROVER_ASSIGN(stored, block_at(at, stream));
    }
    if (!stored || stored->first_seq() > seq || stored->last_seq() < seq)
      return fail(Errc::corrupt, "inbox " + stream_name(stream), "record " + std::to_string(seq) + " is missing");
    for (; seq <= std::min(end, stored->last_seq()); ++seq) {
      const RecordView theirs = block.record(seq - block.first_seq());
      const RecordView ours = stored->record(seq - stored->first_seq());
      if (theirs.hash != ours.hash)
        return "record " + std::to_string(seq) + " of incarnation " + std::to_string(stream.incarnation) +
               " came with content " + to_hex(theirs.hash).substr(0, 16) + ", but " + to_hex(ours.hash).substr(0, 16) +
               " is stored";
    }
    DROVER_ASSIGN(more, at.next());
  }
  return std::nullopt;
}

// Stores what is above the watermark: the block as it came, or its new tail.
Status Inbox::store_tail(WriteTxn& txn, const StreamFacts& stream, const Block& block) const {
  const uint64_t first = stream.durable_seq + 1;
  if (block.first_seq() == first) return txn.put(blocks_, block_key(stream, first, block.last_seq()), block.bytes());
  BlockBuilder tail(first);
  const size_t skip = buggify::bug(buggify::Bug::overlap_off_by_one) ? 1 : 0;
  for (size_t i = first - block.first_seq(); i < block.count(); ++i) {
    const RecordView record = block.record(i);
    if (skip == 0) {
      DROVER_TRY(tail.add_frame(record));
    } else if (i + skip < block.count()) {
      DROVER_TRY(tail.add(record.kind, record.schema, record.time_unix_ns, block.record(i + skip).payload));
    }
  }
  if (tail.empty()) return {};
  return txn.put(blocks_, block_key(stream, first, block.last_seq()), tail.finish());
}

// What a store that forgets what it has seen would do with a repeat; only a seeded bug comes here.
Result<AppendOutcome> Inbox::append_again(WriteTxn& txn, StreamFacts stream, const Block& block) const {
  BlockBuilder again(stream.durable_seq + 1);
  for (size_t i = 0; i < block.count(); ++i) {
    const RecordView record = block.record(i);
    DROVER_TRY(again.add(record.kind, record.schema, record.time_unix_ns, record.payload));
  }
  const uint64_t first = stream.durable_seq + 1;
  stream.durable_seq += block.count();
  DROVER_TRY(txn.put(blocks_, block_key(stream, first, stream.durable_seq), again.finish()));
  DROVER_TRY(save(txn, stream));
  return AppendOutcome{AppendStatus::ok, stream.durable_seq, {}};
}

Result<AppendOutcome> Inbox::append_in(WriteTxn& txn, const Incoming& incoming) const {
  const Block& block = incoming.block;
  const std::string where = incoming.robot + "/" + std::to_string(incoming.incarnation);
  if (block.count() == 0) return AppendOutcome{AppendStatus::corrupt, 0, where + ": an empty block"};
  if (options_.verify_hashes) {
    if (const Status hashes = block.verify_hashes(); !hashes)
      return AppendOutcome{AppendStatus::corrupt, 0, where + ": " + hashes.error().message()};
  }
  if (const Status name = check_name("robot", incoming.robot); !name)
    return AppendOutcome{AppendStatus::refused, 0, name.error().message()};
  DROVER_ASSIGN(const auto known, find(txn, incoming.robot, incoming.incarnation));
  DROVER_ASSIGN(const auto quarantine, quarantined_in(txn, incoming.robot));
  // A gap must not found a stream: an older disk that comes back would outrank the newest.
  if (!known && !quarantine && block.first_seq() != 1)
    return AppendOutcome{AppendStatus::gap, 0, where + ": nothing is stored yet, send from 1"};
  auto opened = open_stream_in(txn, incoming.robot, incoming.incarnation, incoming.now_unix_ns);
  if (!opened && opened.error().code == Errc::refused)
    return AppendOutcome{AppendStatus::refused, known ? known->durable_seq : 0, opened.error().message()};
  if (!opened) return tl::unexpected(opened.error());
  StreamFacts& stream = *opened;
  if (block.first_seq() > stream.durable_seq + 1 && !buggify::bug(buggify::Bug::gap_accepted))
    return AppendOutcome{AppendStatus::gap, stream.durable_seq,
                         where + ": record " + std::to_string(stream.durable_seq + 1) + " comes next, got " +
                             std::to_string(block.first_seq())};
  constexpr int64_t window_ns = 30'000'000'000;
  if (block.last_seq() <= stream.durable_seq && incoming.now_unix_ns - stream.last_seen_unix_ns > window_ns &&
      buggify::bug(buggify::Bug::dedup_by_window))
    return append_again(txn, stream, block);
  DROVER_ASSIGN(const auto difference, differing(txn, stream, block));
  if (difference && !buggify::bug(buggify::Bug::conflict_accepted)) {
    DROVER_TRY(quarantine_in(txn, incoming.robot, incoming.now_unix_ns, *difference));
    return AppendOutcome{AppendStatus::conflict, stream.durable_seq, where + ": " + *difference};
  }
  if (block.last_seq() > stream.durable_seq) {
    DROVER_TRY(store_tail(txn, stream, block));
    stream.durable_seq = block.last_seq();
    stream.last_seen_unix_ns = incoming.now_unix_ns;
    DROVER_TRY(save(txn, stream));
  }
  if (buggify::bug(buggify::Bug::ack_off_by_one)) ++stream.durable_seq;
  return AppendOutcome{AppendStatus::ok, stream.durable_seq, {}};
}

Result<std::vector<AppendOutcome>> Inbox::append_many(Env& env, std::span<const Incoming> incoming) const {
  return env.write([&](WriteTxn& txn) -> Result<std::vector<AppendOutcome>> {
    std::vector<AppendOutcome> outcomes;
    outcomes.reserve(incoming.size());
    for (const Incoming& one : incoming) {
      DROVER_ASSIGN(AppendOutcome outcome, append_in(txn, one));
      outcomes.push_back(std::move(outcome));
    }
    return outcomes;
  });
}

Result<std::vector<Block>> Inbox::read_in(const ReadTxn& txn, std::string_view robot, uint64_t incarnation,
                                          uint64_t from_seq, uint64_t max_bytes) const {
  DROVER_ASSIGN(const auto stream, find(txn, robot, incarnation));
  if (!stream)
    return fail(Errc::not_found, std::string(robot) + "/" + std::to_string(incarnation), "there is no such stream");
  std::vector<Block> blocks;
  if (from_seq > stream->durable_seq) return blocks;
  if (from_seq == 0) return fail(Errc::invalid_argument, stream_name(*stream), "sequence numbers begin at 1");
  Cursor at = txn.cursor(blocks_);
  DROVER_ASSIGN(bool more, at.at_most(block_key(*stream, from_seq, UINT64_MAX)));
  uint64_t expected = 0;
  uint64_t bytes = 0;
  while (more && (blocks.empty() || bytes + at.value_bytes() <= max_bytes)) {
    DROVER_ASSIGN(auto block, block_at(at, *stream));
    if (!block) break;
    const bool follows = blocks.empty() ? block->first_seq() <= from_seq && block->last_seq() >= from_seq
                                        : block->first_seq() == expected;
    if (!follows)
      return fail(Errc::corrupt, "inbox " + stream_name(*stream),
                  "record " + std::to_string(blocks.empty() ? from_seq : expected) + " is missing");
    expected = block->last_seq() + 1;
    bytes += block->bytes().size();
    blocks.push_back(std::move(*block));
    DROVER_ASSIGN(more, at.next());
  }
  if (blocks.empty())
    return fail(Errc::corrupt, "inbox " + stream_name(*stream), "record " + std::to_string(from_seq) + " is missing");
  return blocks;
}

// ---- quarantine ------------------------------------------------------------------------------

Result<std::optional<Quarantined>> Inbox::quarantined_in(const ReadTxn& txn, std::string_view robot) const {
  DROVER_TRY(check_name("robot", robot));
  Key key;
  key.text(robot);
  DROVER_ASSIGN(const auto value, txn.get(quarantine_, key));
  if (!value) return std::nullopt;
  RowReader row(*value);
  Quarantined q;
  q.robot = std::string(robot);
  q.since_unix_ns = row.i64();
  q.reason = row.text();
  if (!row.done()) return fail(Errc::corrupt, "inbox quarantine " + q.robot, "odd row");
  return q;
}

Result<std::vector<Quarantined>> Inbox::quarantine_list_in(const ReadTxn& txn) const {
  std::vector<Quarantined> all;
  DROVER_TRY(txn.for_each(quarantine_, {}, [&](ByteView key, ByteView) -> Result<bool> {
    KeyReader reader(key);
    DROVER_ASSIGN(auto one, quarantined_in(txn, reader.text()));
    if (one) all.push_back(std::move(*one));
    return true;
  }));
  return all;
}

Status Inbox::quarantine_in(WriteTxn& txn, std::string_view robot, int64_t now_unix_ns, std::string_view reason) const {
  DROVER_TRY(check_name("robot", robot));
  Key key;
  key.text(robot);
  RowWriter row;
  row.i64(now_unix_ns).text(reason);
  return txn.put(quarantine_, key, row);
}

Result<bool> Inbox::clear_quarantine_in(WriteTxn& txn, std::string_view robot) const {
  DROVER_TRY(check_name("robot", robot));
  Key key;
  key.text(robot);
  return txn.erase(quarantine_, key);
}

// ---- watermarks ------------------------------------------------------------------------------

Result<uint64_t> Inbox::watermark_in(const ReadTxn& txn, std::string_view consumer, std::string_view robot,
                                     uint64_t incarnation) const {
  Key key;
  key.text(consumer).text(robot).u64(incarnation);
  DROVER_ASSIGN(const auto value, txn.get(watermarks_, key));
  if (!value) return 0;
  RowReader row(*value);
  const uint64_t seq = row.u64();
  if (!row.done()) return fail(Errc::corrupt, "inbox watermark of " + std::string(consumer), "odd row");
  return seq;
}

Status Inbox::set_watermark_in(WriteTxn& txn, std::string_view consumer, std::string_view robot, uint64_t incarnation,
                               uint64_t seq) const {
  DROVER_TRY(check_name("consumer", consumer));
  DROVER_TRY(check_name("robot", robot));
  Key key;
  key.text(consumer).text(robot).u64(incarnation);
  RowWriter row;
  row.u64(seq);
  return txn.put(watermarks_, key, row);
}

Status Inbox::reset_consumer_in(WriteTxn& txn, std::string_view consumer) const {
  DROVER_TRY(check_name("consumer", consumer));
  Key prefix;
  prefix.text(consumer);
  DROVER_TRY(txn.erase_prefix(watermarks_, prefix));
  return {};
}

Status Inbox::watermarks_in(
    const ReadTxn& txn,
    const std::function<Status(std::string_view, std::string_view, uint64_t, uint64_t)>& visit) const {
  return txn.for_each(watermarks_, {}, [&](ByteView key, ByteView value) -> Result<bool> {
    KeyReader reader(key);
    const auto consumer = reader.text();
    const auto robot = reader.text();
    const uint64_t incarnation = reader.u64();
    RowReader row(value);
    const uint64_t seq = row.u64();
    if (!reader.done() || !row.done()) return fail(Errc::corrupt, "inbox watermark " + to_hex(key), "odd row");
    DROVER_TRY(visit(consumer, robot, incarnation, seq));
    return true;
  });
}

}  // namespace drover::storage
