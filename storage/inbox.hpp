// Inbox: every robot's journal as it came, at the centre. inbox.md documents the format.
//
// A stream is (robot, incarnation). Incarnations are ranked by when they were first seen: 1, 2, ...
// Invariants
// - A stream holds the records 1..durable_seq without holes, each with the content first accepted for it.
// - Only the newest incarnation of a robot grows; older ones are kept.
// - A robot that sent other content for a sequence number it had sent before is quarantined until an operator
//   clears it; what is stored does not change.
//
// An Inbox is a handle without state of its own: copy freely, use from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/record.hpp"
#include "storage/env.hpp"

namespace drover::storage {

enum class AppendStatus : uint8_t {
  ok,        // everything up to durable_seq is stored (after the commit)
  gap,       // send again from durable_seq + 1
  conflict,  // same sequence number, other content: the robot is now quarantined
  refused,   // quarantined robot, or an incarnation older than the newest
  corrupt,   // the block does not hold what it claims; nothing changed
};
std::string_view append_status_name(AppendStatus status) noexcept;

struct AppendOutcome {
  AppendStatus status = AppendStatus::ok;
  uint64_t durable_seq = 0;  // the stream's watermark after this append
  std::string message;       // for all but ok: what was wrong
};

struct Incoming {
  std::string robot;
  uint64_t incarnation = 0;
  Block block;
  int64_t now_unix_ns = 0;
};

struct StreamFacts {
  std::string robot;
  uint64_t incarnation = 0;
  uint64_t rank = 0;
  uint64_t durable_seq = 0;
  int64_t first_seen_unix_ns = 0;
  int64_t last_seen_unix_ns = 0;  // of the last append that stored something
  bool newest = false;
};

struct Quarantined {
  std::string robot;
  int64_t since_unix_ns = 0;
  std::string reason;
};

struct InboxOptions {
  bool verify_hashes = true;  // recompute each new record's SHA-256; false when the caller did (Block::verify_hashes)
};

class Inbox {
 public:
  static std::vector<std::string> databases();
  static Inbox open(const Env& env, InboxOptions options = {});

  // Makes the stream if it is new, and returns its facts. Errors: refused (quarantined; an incarnation older than the
  // newest), invalid_argument (robot name empty, over 200 bytes or with a zero byte).
  Result<StreamFacts> open_stream_in(WriteTxn& txn, std::string_view robot, uint64_t incarnation,
                                     int64_t now_unix_ns) const;

  // Takes in one parsed block. What a robot did wrong is an outcome; an Error is the store's own trouble and rolls
  // the transaction back. The outcome holds once the transaction is committed.
  Result<AppendOutcome> append_in(WriteTxn& txn, const Incoming& incoming) const;
  // Group commit: all of it in one synced transaction, in order; one outcome per item.
  Result<std::vector<AppendOutcome>> append_many(Env& env, std::span<const Incoming> incoming) const;

  // Streams in (robot, rank) order; all robots, or one.
  Result<std::vector<StreamFacts>> streams_in(const ReadTxn& txn, std::string_view robot = {}) const;

  // Stored blocks of a stream from the one that holds from_seq on, until max_bytes are reached (at least one).
  // The first block may begin before from_seq. Empty when the stream ends before it. Errors: corrupt, not_found.
  Result<std::vector<Block>> read_in(const ReadTxn& txn, std::string_view robot, uint64_t incarnation,
                                     uint64_t from_seq, uint64_t max_bytes) const;

  Result<std::optional<Quarantined>> quarantined_in(const ReadTxn& txn, std::string_view robot) const;
  Result<std::vector<Quarantined>> quarantine_list_in(const ReadTxn& txn) const;
  Status quarantine_in(WriteTxn& txn, std::string_view robot, int64_t now_unix_ns, std::string_view reason) const;
  Result<bool> clear_quarantine_in(WriteTxn& txn, std::string_view robot) const;

  // How far a consumer has applied a stream; 0 at first. Set it in the transaction that holds the effects.
  Result<uint64_t> watermark_in(const ReadTxn& txn, std::string_view consumer, std::string_view robot,
                                uint64_t incarnation) const;
  Status set_watermark_in(WriteTxn& txn, std::string_view consumer, std::string_view robot, uint64_t incarnation,
                          uint64_t seq) const;
  // Forgets a consumer's watermarks, so that it replays everything.
  Status reset_consumer_in(WriteTxn& txn, std::string_view consumer) const;
  // Calls visit(consumer, robot, incarnation, seq) in that order.
  Status watermarks_in(
      const ReadTxn& txn,
      const std::function<Status(std::string_view, std::string_view, uint64_t, uint64_t)>& visit) const;

 private:
  Inbox(Db blocks, Db streams, Db quarantine, Db watermarks, InboxOptions options);
  Result<std::optional<StreamFacts>> find(const ReadTxn& txn, std::string_view robot, uint64_t incarnation) const;
  Result<std::vector<StreamFacts>> list(const ReadTxn& txn, ByteView prefix) const;
  Status save(WriteTxn& txn, const StreamFacts& stream) const;
  Result<std::optional<std::string>> differing(const ReadTxn& txn, const StreamFacts& stream, const Block& block) const;
  Status store_tail(WriteTxn& txn, const StreamFacts& stream, const Block& block) const;
  Result<AppendOutcome> append_again(WriteTxn& txn, StreamFacts stream, const Block& block) const;

  Db blocks_;
  Db streams_;
  Db quarantine_;
  Db watermarks_;
  InboxOptions options_;
};

}  // namespace drover::storage
