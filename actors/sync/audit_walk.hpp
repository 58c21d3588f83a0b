// Walks over a journal or an inbox stream record by record, for the audit. Every record's hash is computed again.
// A walk reads a few megabytes at a time, each in a read transaction of its own.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "messages/record.hpp"
#include "storage/inbox.hpp"
#include "storage/journal.hpp"

namespace drover::sync {

class RecordWalk {
 public:
  // Blocks that hold `seq` and what follows; empty when there is nothing.
  using Read = std::function<Result<std::vector<Block>>(uint64_t seq)>;
  explicit RecordWalk(Read read) : read_(std::move(read)) {}

  // The record with this number; nothing when it is not there. Ask in ascending order. The view is valid until the next
  // call. Errors: corrupt (also: the blocks do not join).
  Result<std::optional<RecordView>> at(uint64_t seq) {
    while (index_ < blocks_.size() && blocks_[index_].last_seq() < seq) ++index_;
    if (index_ == blocks_.size()) DROVER_TRY(load(seq));
    if (index_ == blocks_.size()) return std::optional<RecordView>();
    const Block& block = blocks_[index_];
    if (block.first_seq() > seq) return fail(Errc::gap, "seq " + std::to_string(seq), "a hole in the stored blocks");
    return std::optional(block.record(seq - block.first_seq()));
  }

 private:
  Status load(uint64_t seq) {
    index_ = 0;
    DROVER_ASSIGN(blocks_, read_(seq));
    for (const Block& block : blocks_) DROVER_TRY(block.verify_hashes());
    while (index_ < blocks_.size() && blocks_[index_].last_seq() < seq) ++index_;
    return {};
  }

  Read read_;
  std::vector<Block> blocks_;
  size_t index_ = 0;
};

inline constexpr uint64_t walk_bytes = 4u << 20;

inline RecordWalk walk_journal(const storage::Env& env, const storage::Journal& journal) {
  return RecordWalk([&env, journal](uint64_t seq) -> Result<std::vector<Block>> {
    DROVER_ASSIGN(auto bytes, journal.read(env, seq, walk_bytes));
    if (bytes.empty()) return std::vector<Block>();
    DROVER_ASSIGN(auto block, Block::parse(std::move(bytes)));
    return std::vector<Block>{std::move(block)};
  });
}

inline RecordWalk walk_inbox(const storage::Env& env, const storage::Inbox& inbox, const std::string& robot,
                             uint64_t incarnation) {
  return RecordWalk([&env, inbox, robot, incarnation](uint64_t seq) {
    return env.read(
        [&](const storage::ReadTxn& txn) { return inbox.read_in(txn, robot, incarnation, seq, walk_bytes); });
  });
}

}  // namespace drover::sync
