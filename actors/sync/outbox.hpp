// Outbox: decides what a robot sends next on the journal lane. Pure logic: no clock, no disk, no actor.
//
// The journal is an ordered run of records. The outbox keeps three positions in it,
//   acked <= sent <= last,
// reads blocks after `sent`, keeps at most window_bytes of them unacknowledged, and moves back to
// `acked` whenever the other side or the link says so. It never skips a record and never reorders. Only at the start of
// a link `sent` is one below `acked`: one record is sent again, to be compared.
//
// Invariants: the blocks in flight are consecutive and begin at acked + 1 or before it (the centre may
// acknowledge part of a repeated block); their bytes never exceed the window, except that a single block larger
// than the window may travel alone; at most one journal read is outstanding.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace drover::sync {

struct OutboxLimits {
  uint64_t window_bytes = 4u << 20;     // most unacknowledged block bytes; 64 KiB .. 256 MiB
  uint32_t block_max_bytes = 1u << 20;  // largest block asked of the journal; 4 KiB .. 16 MiB
  uint32_t corrupt_max = 5;             // blocks refused as corrupt in a row before the lane halts
};

// How the centre answered one block. Mirrors AckStatus of the session, without depending on the network.
enum class BlockReply : uint8_t { ok, gap, conflict, corrupt, refused, overloaded, lost };

class Outbox {
 public:
  explicit Outbox(OutboxLimits limits) : limits_(limits) {}

  // What to read from the journal now: records from `from_seq`, at most `max_bytes` of block.
  struct Read {
    uint64_t from_seq;
    uint32_t max_bytes;
    uint64_t generation;  // give it back with read_done
  };

  // The link is up; the centre holds everything up to durable_seq. Limits of the session tighten our own (0: keep
  // ours). Call journal_grew and journal_begins before: a centre that knows more than the journal halts the lane.
  // The last record that the centre holds is sent once more, so that a store which was restored from an old copy and
  // has grown since is found out (the centre compares the record) before anything is built on it.
  void link_up(uint64_t durable_seq, uint64_t window_bytes, uint32_t block_max_bytes);
  void link_down();
  // The journal now ends at last_seq.
  void journal_grew(uint64_t last_seq);
  // The oldest record that the journal still holds; 0: not known, or none.
  void journal_begins(uint64_t first_seq) { first_seq_ = first_seq; }

  // Asks for a read when one is due. Call until it returns nothing.
  std::optional<Read> next_read();
  // The read came back. `block_bytes` 0: nothing there. Returns true when the block is to be sent now.
  bool read_done(const Read& read, uint64_t first_seq, uint64_t last_seq, uint64_t block_bytes);

  // The centre (or the link, with `lost`) answered the block [first_seq, last_seq].
  void replied(uint64_t generation, uint64_t first_seq, uint64_t last_seq, BlockReply reply, uint64_t durable_seq,
               const std::string& reason);
  // The pause after `overloaded`, `corrupt` or `lost` is over.
  void resume();

  bool up() const noexcept { return up_; }
  bool paused() const noexcept { return paused_; }
  // Non-empty: the centre refused us for good (conflict, refused, corrupt too often). A human must act.
  const std::string& halted() const noexcept { return halted_; }
  bool drained() const noexcept { return acked_seq_ >= last_seq_; }
  uint64_t acked_seq() const noexcept { return acked_seq_; }
  uint64_t sent_seq() const noexcept { return sent_seq_; }
  uint64_t last_seq() const noexcept { return last_seq_; }
  uint64_t in_flight_bytes() const noexcept { return in_flight_bytes_; }
  uint64_t generation() const noexcept { return generation_; }
  uint64_t resent_blocks() const noexcept { return resent_blocks_; }

 private:
  struct Flight {
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t bytes;
  };
  void rewind();
  void advance(uint64_t durable_seq);

  OutboxLimits limits_;
  uint64_t window_bytes_ = 0;
  uint32_t block_max_bytes_ = 0;
  bool up_ = false;
  bool paused_ = false;
  bool reading_ = false;
  std::string halted_;
  uint64_t first_seq_ = 0;
  uint64_t last_seq_ = 0;
  uint64_t sent_seq_ = 0;
  uint64_t acked_seq_ = 0;
  uint64_t highest_sent_seq_ = 0;
  uint64_t in_flight_bytes_ = 0;
  uint64_t generation_ = 0;  // changes at every rewind, so that late answers are told from current ones
  uint64_t resent_blocks_ = 0;
  uint32_t corrupt_in_row_ = 0;
  std::deque<Flight> in_flight_;
};

}  // namespace drover::sync
